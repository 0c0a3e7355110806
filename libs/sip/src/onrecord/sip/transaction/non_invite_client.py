"""RFC 3261 §17.1.2: the non-INVITE client transaction (BYE, CANCEL, OPTIONS and the rest)."""

from __future__ import annotations

from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response
from onrecord.sip.transaction.base import Machine, State, Timers, client_key
from onrecord.sip.transport import Transports


class NonInviteClient(Machine):
    """Sends a request until a final response comes or timer F ends the wait."""

    def __init__(
        self, request: Request, peer: Hop, transports: Transports, timers: Timers, now: float
    ) -> None:
        super().__init__(
            client_key(request.via.branch, request.method), peer, transports.outbox, timers
        )
        self.request = request
        self._bytes = transports.stamp(request, peer)
        self.state = State.TRYING
        self._retransmit_at = self._repeat_from(now)
        self._expire_at = now + timers.give_up
        self._send(self._bytes)

    def receive(self, response: Response, now: float) -> bool:
        """Take a response; True when the user agent must see it."""
        if self.state not in (State.TRYING, State.PROCEEDING):
            return False
        if response.status < 200:
            self.state = State.PROCEEDING
        else:
            self._wait(State.COMPLETED, until=now + self._lingering(self.timers.t4))
        return True

    def handle_timer(self, now: float) -> bool:
        """Retransmit or end; True when no final response came (timer F)."""
        if self._expire_at is not None and now >= self._expire_at:
            timed_out = self.state is not State.COMPLETED
            self.abandon()
            return timed_out
        if self._retransmit_at is not None and now >= self._retransmit_at:
            proceeding = self.state is State.PROCEEDING
            self._interval = (
                self.timers.t2 if proceeding else min(2 * self._interval, self.timers.t2)
            )
            self._retransmit_at = now + self._interval
            self._send(self._bytes)
        return False
