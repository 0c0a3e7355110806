"""RFC 3261 §17.2.2: the non-INVITE server transaction."""

from __future__ import annotations

from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response
from onrecord.sip.transaction.base import Machine, State, Timers, server_key
from onrecord.sip.transport import Outbox


class NonInviteServer(Machine):
    """Answers a request once, and its retransmissions for 64*T1 with the same octets."""

    def __init__(self, request: Request, peer: Hop, outbox: Outbox, timers: Timers) -> None:
        super().__init__(server_key(request), peer, outbox, timers)
        self._last = b""
        self.state = State.TRYING

    def respond(self, response: Response, now: float) -> None:
        """Send a response; ignored once a final one was sent."""
        if self.state in (State.TRYING, State.PROCEEDING):
            self._last = bytes(response)
            self._send(self._last)
            if response.status >= 200:
                self._wait(State.COMPLETED, until=now + self._lingering(self.timers.give_up))
            else:
                self.state = State.PROCEEDING

    def receive(self, request: Request, now: float) -> bool:
        """Take a retransmission; never anything for the user agent."""
        if self._last:
            self._send(self._last)
        return False

    def handle_timer(self, now: float) -> bool:
        """End (timer J); never anything to report."""
        self.abandon()
        return False
