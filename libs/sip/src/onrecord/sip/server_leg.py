"""A leg on which we were called: RFC 3261 §13.3 with CANCEL (§9.2)."""

from __future__ import annotations

from onrecord.sip.core import Core
from onrecord.sip.dialog import Dialog
from onrecord.sip.events import Cancelled, IncomingInvite, LegId, TimedOut
from onrecord.sip.headers import Headers
from onrecord.sip.hop import Hop
from onrecord.sip.leg import Leg
from onrecord.sip.message import Request
from onrecord.sip.server_invite import ServerInvite
from onrecord.sip.transaction.invite_server import InviteServer
from onrecord.sip.transaction.layer import ServerMachine

_NOTHING = Headers()


class ServerLeg(Leg):
    """The user agent server of a call; raises `SipError` 400 for an INVITE without Contact."""

    def __init__(self, core: Core, request: Request, machine: InviteServer, source: Hop) -> None:
        super().__init__(core, LegId(core.tokens()))
        tag = core.tokens()
        self._is_initial = True
        self._takes_update = "UPDATE" in request.headers.values("Allow")
        initial = ServerInvite(core, request, machine, tag, self._on_no_ack)
        self._initial: ServerInvite | None = initial
        self._dialog = Dialog.for_server(request, tag, source)
        self._incoming = initial
        self._invite_key = machine.key
        core.unanswered[machine.key] = self
        core.legs[self.id] = self
        core.register(self._dialog.key, self)
        core.events.append(IncomingInvite(self.id, request, source))

    @property
    def confirmed(self) -> Dialog | None:
        """A copy of the dialog once the call is answered."""
        return None if self._is_initial else super().confirmed

    def trying(self, now: float) -> None:
        """Stop the caller's retransmissions with 100."""
        if self._initial is not None:
            self._initial.ring(100, "", b"", now)

    def ring(self, status: int, reason: str, body: bytes, headers: Headers, now: float) -> None:
        """Send 18x, with early media if there is a body; nothing once answered."""
        if self._initial is not None and not self._initial.is_answered:
            self._initial.ring(status, reason, body, now, headers)

    def answer(self, body: bytes, headers: Headers, now: float) -> None:
        """Accept the call, or later its re-INVITE."""
        self._close_invite()
        super().answer(body, headers, now)

    def reject(self, status: int, reason: str, headers: Headers, now: float) -> None:
        """Refuse the call, which ends the leg, or later a re-INVITE, which does not."""
        super().reject(status, reason, headers, now)
        if self._is_initial:
            self._finish()

    def bye(self, now: float, headers: Headers = _NOTHING) -> None:
        """Hang up; a call that was not answered yet is refused with 480 instead."""
        if self._is_initial:
            self.reject(480, "", Headers(), now)
        else:
            super().bye(now, headers)

    def on_cancel(self, now: float) -> None:
        """§9.2: end an unanswered call with 487; too late once a final response is out."""
        if self._is_initial and not self.is_over:
            self.reject(487, "", Headers(), now)
            self._core.events.append(Cancelled(self.id))

    def on_ack(self, ack: Request, now: float) -> None:
        """Take the ACK of a 2xx of ours; of the INVITE nothing is kept then."""
        super().on_ack(ack, now)
        if self._incoming is None:
            self._initial = None

    def _on_prack(self, request: Request, machine: ServerMachine, now: float) -> None:
        """RFC 3262 §3; an offer in it is refused, its description stays what the 18x had."""
        if self._initial is None or not self._initial.awaits(request):
            super()._on_prack(request, machine, now)
            return
        self._respond(request, machine, 488 if request.body else 200, now)
        self._initial.go_on(now)

    def _on_no_ack(self, now: float) -> None:
        """RFC 3262 §3: an 18x that nobody acknowledges fails the call; a 2xx ends the session."""
        if self._initial is None or self._initial.is_final:
            super()._on_no_ack(now)
            return
        self._initial.refuse(504, "", _NOTHING, now)
        self._core.events.append(TimedOut(self.id, "prack"))
        self._finish()

    def _close_invite(self) -> None:
        self._is_initial = False
        self._core.unanswered.pop(self._invite_key, None)

    def _finish(self) -> None:
        self._core.unanswered.pop(self._invite_key, None)
        super()._finish()
