"""A SIP endpoint under mutants: every message goes in, calls are answered or refused by turns."""

from __future__ import annotations

from itertools import count

from fuzz.mutants import whole
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import IncomingInvite, Reinvited
from onrecord.sip.hop import Hop
from onrecord.sip.message import parse
from onrecord.sip.stream import Framer

PEER = Hop("udp", "127.0.0.1", 5060)
STEP_SECONDS = 0.01
END_SECONDS = 300.0
_ANSWER = b"v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 8\n"


class Driver:
    """Feeds one endpoint, on a clock of its own that goes on with each message."""

    def __init__(self) -> None:
        numbers = count()
        self.endpoint = Endpoint(
            Hop("udp", "127.0.0.1", 5062),
            Hop("tcp", "127.0.0.1", 5062),
            tokens=lambda: f"t{next(numbers)}",
        )
        self.now = 0.0
        self.calls = 0
        self._controls = 0

    def datagram(self, octets: bytes) -> None:
        """A datagram comes."""
        self._take(octets, PEER)

    def stream(self, octets: bytes, connection: int) -> None:
        """Octets come on a connection; what is framed goes in, until the framer gives up."""
        framer = Framer()
        for message in framer.receive(octets):
            self._take(message, Hop("tcp", "127.0.0.1", 40_000, connection))

    def is_alive(self) -> bool:
        """Whether a control OPTIONS is answered with 200."""
        self._controls += 1
        self.endpoint.messages_to_send()
        self.endpoint.receive_message(whole("OPTIONS", 10**6 + self._controls), PEER, self.now)
        answers = [parse(octets) for octets, _ in self.endpoint.messages_to_send()]
        return [getattr(answer, "status", 0) for answer in answers] == [200]

    def finish(self) -> None:
        """Let the time of every transaction pass, without another message."""
        self._until(self.now + END_SECONDS)

    def _take(self, octets: bytes, source: Hop) -> None:
        self.endpoint.receive_message(octets, source, self.now)
        while (event := self.endpoint.next_event()) is not None:
            match event:
                case IncomingInvite(leg):
                    self.calls += 1
                    if self.calls % 2:
                        self.endpoint.answer(leg, _ANSWER, self.now)
                    else:
                        self.endpoint.reject(leg, 486, self.now)
                case Reinvited(leg):
                    self.endpoint.answer(leg, _ANSWER, self.now)
        self._until(self.now + STEP_SECONDS)
        self.endpoint.messages_to_send()

    def _until(self, moment: float) -> None:
        while (due := self.endpoint.next_timer()) is not None and due <= moment:
            self.endpoint.handle_timer(due)
            self.endpoint.messages_to_send()
            while self.endpoint.next_event() is not None:
                pass
        self.now = moment
