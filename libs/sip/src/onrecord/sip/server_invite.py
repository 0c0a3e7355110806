"""RFC 3261 §13.3 and §14.2: the user agent server's side of one INVITE or re-INVITE."""

from __future__ import annotations

from collections.abc import Callable

from onrecord.sip.core import Core
from onrecord.sip.headers import Headers
from onrecord.sip.message import Request, Response
from onrecord.sip.reliable import ReliableProvisionals
from onrecord.sip.transaction.invite_server import InviteServer

_NOTHING = Headers()
_TRYING = 100


class ServerInvite:
    """Answers one INVITE, and retransmits its 2xx until the ACK comes (§13.3.1.4)."""

    def __init__(
        self,
        core: Core,
        request: Request,
        machine: InviteServer,
        to_tag: str,
        on_silence: Callable[[float], None],
    ) -> None:
        self.request = request
        self.is_answered = False
        self.is_final = False
        self.next_timer: float | None = None
        self.armed_for: float | None = None
        self._core = core
        self._machine = machine
        self._to_tag = to_tag
        self._on_silence = on_silence
        self._interval = core.layer.timers.t1
        self._reliable = ReliableProvisionals(core, request, machine, on_silence)
        self._held_back: tuple[bytes, Headers] | None = None
        self._give_up_at = 0.0

    @property
    def awaits_ack(self) -> bool:
        """Whether a 2xx is out, or waits for a PRACK, and has not been acknowledged."""
        return self.next_timer is not None or self._held_back is not None

    def ring(
        self, status: int, reason: str, body: bytes, now: float, headers: Headers = _NOTHING
    ) -> None:
        """Send a provisional response; nothing once a final one is out.

        With a description it is repeated until its PRACK where the caller takes that (RFC 3262);
        where the caller takes nothing else and made no offer, it waits for the answer instead.
        """
        response = self._response(status, reason)
        if status == _TRYING:
            self._core.layer.respond(self._machine, response, now)
            return
        self._describe(response, body)
        response.headers.override(headers)
        reliable = self._reliable
        if reliable.are_possible and (body or reliable.are_required):
            reliable.send(response, now)
        elif not reliable.are_required:
            self._core.layer.respond(self._machine, response, now)

    def accept(self, body: bytes, now: float, headers: Headers = _NOTHING) -> None:
        """Send 200 and wait for its ACK; `headers` stand in place of ours of the same names.

        It waits for the PRACK of a description that is on its way (RFC 3262 §3).
        """
        self.is_answered = True
        if self._reliable.holds_back_answer:
            self._held_back = body, headers
            return
        self._reliable.stop()
        self.is_final = True
        response = self._response(200)
        self._describe(response, body)
        response.headers.override(headers)
        self.next_timer = now + self._interval
        self._give_up_at = now + self._core.layer.timers.give_up
        self._core.layer.respond(self._machine, response, now)
        self._core.layer.arm(self)

    def refuse(self, status: int, reason: str, headers: Headers, now: float) -> None:
        """Send a final failure; the transaction retransmits it until its ACK."""
        response = self._response(status, reason)
        response.headers.override(headers)
        self.is_answered = self.is_final = True
        self._held_back = None
        self._reliable.stop()
        self._core.layer.respond(self._machine, response, now)

    def acknowledge(self, ack: Request) -> bool:
        """Take an ACK; True when it is the first for our 2xx."""
        if not self.awaits_ack or ack.cseq.number != self.request.cseq.number:
            return False
        self.next_timer = None
        return True

    def awaits(self, prack: Request) -> bool:
        """Whether a provisional response of ours waits for this PRACK."""
        return self._reliable.awaits(prack)

    def go_on(self, now: float) -> None:
        """Its PRACK came: send what waited for that, the answer last."""
        self._reliable.go_on(now)
        if self._held_back is not None and not self._reliable.holds_back_answer:
            body, headers = self._held_back
            self._held_back = None
            self.accept(body, now, headers)

    def stop(self) -> None:
        """Wait for the ACK no longer: the dialog is over."""
        self.next_timer = None
        self._held_back = None
        self._reliable.stop()

    def handle_timer(self, now: float) -> None:
        """Send the 2xx again, or say that nobody acknowledges it."""
        if now >= self._give_up_at:
            self.next_timer = None
            self._on_silence(now)
            return
        self._machine.retransmit_success()
        self._interval = min(2 * self._interval, self._core.layer.timers.t2)
        self.next_timer = min(now + self._interval, self._give_up_at)

    def _describe(self, response: Response, body: bytes) -> None:
        self._core.describe(response, body, self._machine.peer, self.request.uri)

    def _response(self, status: int, reason: str = "") -> Response:
        tag = self._to_tag if status > 100 else ""
        response = self.request.response(status, reason, to_tag=tag)
        if 100 < status < 300:
            for route in self.request.headers.fields("Record-Route"):
                response.headers.add("Record-Route", route)
        return response
