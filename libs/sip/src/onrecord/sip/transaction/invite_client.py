"""RFC 3261 §17.1.1 and RFC 6026 §7.2: the INVITE client transaction.

The ACK to a failure belongs here; the ACK to a 2xx belongs to the user agent.
"""

from __future__ import annotations

from onrecord.sip.headers import Headers
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response
from onrecord.sip.transaction.base import Machine, State, Timers, client_key
from onrecord.sip.transport import Transports


class InviteClient(Machine):
    """Sends an INVITE until something answers, and ACKs every failure."""

    def __init__(
        self, request: Request, peer: Hop, transports: Transports, timers: Timers, now: float
    ) -> None:
        super().__init__(client_key(request.via.branch, "INVITE"), peer, transports.outbox, timers)
        self.request = request
        self._bytes = transports.stamp(request, peer)
        self._ack = b""
        self.state = State.CALLING
        self._retransmit_at = self._repeat_from(now)
        self._expire_at = now + timers.give_up
        self._send(self._bytes)

    def receive(self, response: Response, now: float) -> bool:
        """Take a response; True when the user agent must see it."""
        if self.state in (State.CALLING, State.PROCEEDING):
            return self._while_open(response, now)
        if self.state is State.COMPLETED:
            return self._in_completed(response)
        return self.state is State.ACCEPTED and 200 <= response.status < 300

    def handle_timer(self, now: float) -> bool:
        """Retransmit or end; True when no response came at all (timer B)."""
        if self._expire_at is not None and now >= self._expire_at:
            timed_out = self.state is State.CALLING
            self.abandon()
            return timed_out
        if self._retransmit_at is not None and now >= self._retransmit_at:
            self._interval *= 2  # timer A doubles without T2's limit (§17.1.1.2)
            self._retransmit_at = now + self._interval
            self._send(self._bytes)
        return False

    def fall_silent(self) -> None:
        """Repeat the INVITE no more; timer B goes on."""
        self._retransmit_at = None

    def _while_open(self, response: Response, now: float) -> bool:
        self._bytes = b""  # never sent again: the machine lives on for 32 s of each call
        if response.status < 200:
            self._wait(State.PROCEEDING, until=None)
        elif response.status < 300:
            self._wait(State.ACCEPTED, until=now + self.timers.give_up)
        else:
            self._ack = bytes(self._build_ack(response))
            self._send(self._ack)
            self._wait(State.COMPLETED, until=now + self._lingering(self.timers.give_up))
        return True

    def _in_completed(self, response: Response) -> bool:
        if response.status >= 300:
            self._send(self._ack)
        return False

    def _build_ack(self, response: Response) -> Request:
        """§17.1.1.3: the INVITE's own URI, branch and routes, the response's To."""
        invite = self.request
        headers = Headers([("Via", str(invite.via)), ("Max-Forwards", "70")])
        for route in invite.headers.fields("Route"):
            headers.add("Route", route)
        headers.add("From", str(invite.from_))
        headers.add("To", str(response.to))
        headers.add("Call-ID", invite.call_id)
        headers.add("CSeq", f"{invite.cseq.number} ACK")
        return Request("ACK", invite.uri, headers)
