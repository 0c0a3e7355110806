"""Two endpoints on a network in memory, in virtual time, with scripted faults."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from onrecord.sip.capabilities import Capabilities
from onrecord.sip.client_leg import Invitation
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import Event, LegId
from onrecord.sip.headers import Address
from onrecord.sip.hop import Hop
from onrecord.sip.uri import SipUri

CALLER = Hop("udp", "192.0.2.1", 5060)
CALLEE = Hop("udp", "192.0.2.2", 5070)
DELAY = 0.01
OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0\r\n"
)
ANSWER = OFFER.replace(b"192.0.2.1", b"192.0.2.2")

Fault = Callable[[bytes, int], list[float]]
"""Given a datagram and its number, the delays after which copies arrive; none means lost."""


def clean(_data: bytes, _number: int) -> list[float]:
    """A network without faults."""
    return [DELAY]


def lose(*, first: int, of: bytes) -> Fault:
    """Lose the first so many datagrams that start with `of`."""
    left = [first]

    def fault(data: bytes, _number: int) -> list[float]:
        if data.startswith(of) and left[0] > 0:
            left[0] -= 1
            return []
        return [DELAY]

    return fault


def tokens(prefix: str) -> Callable[[], str]:
    """Predictable tokens, different for each endpoint."""
    numbers = count()
    return lambda: f"{prefix}{next(numbers)}"


class Network:
    """Runs both endpoints; `a` calls, `b` is called; `wire` has every datagram in order."""

    def __init__(self, fault: Fault = clean, *, b_can: Capabilities | None = None) -> None:
        self.now = 0.0
        self.a = Endpoint(CALLER, tokens=tokens("a"))
        self.b = Endpoint(CALLEE, tokens=tokens("b"), capabilities=b_can)
        self.fault = fault
        self.events: dict[str, list[Event]] = {"a": [], "b": []}
        self.wire: list[bytes] = []
        self.react: Callable[[str, Event], None] = lambda _who, _event: None
        self._flying: list[tuple[float, int, bytes, Hop, Hop]] = []
        self._serial = count()

    def invite(self, body: bytes = OFFER, *, silence: float | None = None) -> LegId:
        """Let `a` call `b`."""
        target = SipUri.parse(f"sip:1000@{CALLEE.sent_by}")
        caller = Address.parse(f'"Alice" <sip:alice@{CALLER.host}>')
        return self.a.invite(Invitation(target, caller, body, silence=silence), self.now)

    def run(self, seconds: float = 1.0) -> None:
        """Let time pass: deliver, fire timers, collect events, react to them."""
        end = self.now + seconds
        while True:
            self._pump()
            due = [t for t in (self.a.next_timer(), self.b.next_timer()) if t is not None]
            due += [self._flying[0][0]] if self._flying else []
            if not due or min(due) > end:
                self.now = end
                return
            self.now = max(self.now, min(due))
            self._deliver()
            for endpoint in (self.a, self.b):
                endpoint.handle_timer(self.now)

    def of(self, who: str, kind: type[Event]) -> list[Event]:
        """Return the events of one kind that an endpoint gave."""
        return [event for event in self.events[who] if isinstance(event, kind)]

    def sent(self, start: bytes) -> int:
        """Count the datagrams that begin like this."""
        return sum(data.startswith(start) for data in self.wire)

    def _pump(self) -> None:
        for who, endpoint, source in (("a", self.a, CALLER), ("b", self.b, CALLEE)):
            while (event := endpoint.next_event()) is not None:
                self.events[who].append(event)
                self.react(who, event)
            for data, addr in endpoint.messages_to_send():
                self.wire.append(data)
                for delay in self.fault(data, len(self.wire)):
                    flight = (self.now + delay, next(self._serial), data, source, addr)
                    heapq.heappush(self._flying, flight)

    def _deliver(self) -> None:
        while self._flying and self._flying[0][0] <= self.now:
            _, _, data, source, addr = heapq.heappop(self._flying)
            endpoint = {CALLER: self.a, CALLEE: self.b}.get(addr)
            if endpoint is not None:
                endpoint.receive_message(data, source, self.now)
