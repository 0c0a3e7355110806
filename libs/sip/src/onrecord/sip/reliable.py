"""RFC 3262 §3: provisional responses that are repeated until their PRACK comes, one at a time."""

from __future__ import annotations

from collections.abc import Callable

from onrecord.sip.core import Core
from onrecord.sip.message import Request, Response
from onrecord.sip.transaction.invite_server import InviteServer

OPTION_TAG = "100rel"


class ReliableProvisionals:
    """Those of one INVITE; `on_silence` hears that nobody acknowledges them for 64*T1."""

    def __init__(
        self,
        core: Core,
        invite: Request,
        machine: InviteServer,
        on_silence: Callable[[float], None],
    ) -> None:
        self.next_timer: float | None = None
        self.armed_for: float | None = None
        self._core = core
        self._invite = invite
        self._machine = machine
        self._on_silence = on_silence
        self._sequence = 0
        self._open: Response | None = None
        self._waiting: Response | None = None
        self._interval = 0.0
        self._give_up_at = 0.0

    @property
    def are_required(self) -> bool:
        """Whether the caller takes no other kind."""
        return _has(self._invite, "Require")

    @property
    def are_possible(self) -> bool:
        """Whether the caller takes them, and made an offer.

        Without one the first of them would have to carry ours (§5), which stands in the answer.
        """
        takes = self.are_required or _has(self._invite, "Supported")
        return takes and bool(self._invite.body)

    @property
    def holds_back_answer(self) -> bool:
        """Whether a description is on its way that must arrive before the 2xx (§3)."""
        waiting = (self._open, self._waiting)
        return any(response is not None and response.body for response in waiting)

    def send(self, response: Response, now: float) -> None:
        """Send a response now, or after the PRACK of the one before; only the newest waits."""
        if self._open is not None:
            self._waiting = response
            return
        self._sequence += 1
        response.headers.add("Require", OPTION_TAG)
        response.headers.add("RSeq", str(self._sequence))
        timers = self._core.layer.timers
        self._open, self._interval = response, timers.t1
        self._give_up_at = now + timers.give_up
        self._repeat(now)

    def awaits(self, prack: Request) -> bool:
        """Whether this PRACK is for the response that is on its way."""
        expected = [str(self._sequence), str(self._invite.cseq.number), "INVITE"]
        return self._open is not None and (prack.headers.get("RAck") or "").split() == expected

    def go_on(self, now: float) -> None:
        """The PRACK came: send what waited for it."""
        following = self._waiting
        self.stop()
        if following is not None:
            self.send(following, now)

    def stop(self) -> None:
        """Repeat nothing more: the PRACK came, or a final response is out."""
        self._open = self._waiting = self.next_timer = None

    def handle_timer(self, now: float) -> None:
        """Send the response again, or say that nobody acknowledges it."""
        if now >= self._give_up_at:
            self.stop()
            self._on_silence(now)
        else:
            self._interval *= 2
            self._repeat(now)

    def _repeat(self, now: float) -> None:
        if self._open is not None:
            self._core.layer.respond(self._machine, self._open, now)
            self.next_timer = min(now + self._interval, self._give_up_at)
            self._core.layer.arm(self)


def _has(invite: Request, header: str) -> bool:
    return OPTION_TAG in (tag.lower() for tag in invite.headers.values(header))
