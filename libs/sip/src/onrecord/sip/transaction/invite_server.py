"""RFC 3261 §17.2.1 and RFC 6026 §7.1: the INVITE server transaction.

2xx responses are retransmitted by the user agent (§13.3.1.4), failures by this machine.
"""

from __future__ import annotations

from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response
from onrecord.sip.transaction.base import Machine, State, Timers, server_key
from onrecord.sip.transport import Outbox


class InviteServer(Machine):
    """Answers an INVITE and each of its retransmissions with the latest response."""

    def __init__(self, request: Request, peer: Hop, outbox: Outbox, timers: Timers) -> None:
        super().__init__(server_key(request), peer, outbox, timers)
        self._last = b""
        self.state = State.PROCEEDING

    def respond(self, response: Response, now: float) -> None:
        """Send a response; ignored once a final one was sent."""
        if self.state is State.PROCEEDING:
            self._last = bytes(response)
            self._send(self._last)
            if response.status >= 300:
                self.state = State.COMPLETED
                self._retransmit_at = self._repeat_from(now)
                self._expire_at = now + self.timers.give_up
            elif response.status >= 200:
                self._wait(State.ACCEPTED, until=now + self.timers.give_up)

    def retransmit_success(self) -> None:
        """Send the 2xx once more, at the user agent's word."""
        if self.state is State.ACCEPTED:
            self._send(self._last)

    def receive(self, request: Request, now: float) -> bool:
        """Take a retransmitted INVITE or an ACK; True when an ACK is for the user agent."""
        if request.method == "ACK":
            if self.state is State.COMPLETED:
                self._wait(State.CONFIRMED, until=now + self._lingering(self.timers.t4))
            return self.state is State.ACCEPTED
        if self.state in (State.PROCEEDING, State.COMPLETED) and self._last:
            self._send(self._last)
        return False

    def handle_timer(self, now: float) -> bool:
        """Retransmit a failure or end; True when a failure was never ACKed (timer H)."""
        if self._expire_at is not None and now >= self._expire_at:
            unacknowledged = self.state is State.COMPLETED
            self.abandon()
            return unacknowledged
        if self._retransmit_at is not None and now >= self._retransmit_at:
            self._interval = min(2 * self._interval, self.timers.t2)
            self._retransmit_at = now + self._interval
            self._send(self._last)
        return False
