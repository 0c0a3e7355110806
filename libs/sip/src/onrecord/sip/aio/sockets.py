"""An `Endpoint` on real sockets: messages in and out, one timer, and everything kept open."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from onrecord.sip.admission import Admission, unavailable
from onrecord.sip.aio.datagrams import DatagramSocket
from onrecord.sip.aio.security import Security
from onrecord.sip.aio.streams import StreamLimits, Streams
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import Event
from onrecord.sip.hop import Hop

TIMER_STEP = 0.02
"""Seconds: what is due within one step is done in one go, at its end. Each call leaves four
transactions that expire by themselves, and would wake the process four times."""
REOPEN_SECONDS = 0.2
SWEEP_SECONDS = 1.0


class Guard(Protocol):
    """Who may talk to us."""

    def knows(self, hop: Hop) -> bool:
        """Whether messages from this hop are read, and streams to and from it made."""

    def trusts(self, names: frozenset[str]) -> bool:
        """Whether a TLS peer whose certificate has these names is let in."""


class Anyone:
    """A guard that lets everybody in whose certificate, if it comes to one, is valid."""

    def knows(self, hop: Hop) -> bool:
        """Everybody is known."""
        return True

    def trusts(self, names: frozenset[str]) -> bool:
        """Every certificate of the authority will do."""
        return True


class SipSockets:
    """Runs one `Endpoint` on its sockets; `counts` has what was dropped, refused and opened.

    `on_event` is called for each event and may give commands to the endpoint; `flush` sends what
    they caused. `admission` sheds what one source brings too much of. `report` hears, in words that
    never change, when something closed by itself.
    """

    def __init__(
        self,
        listen: Sequence[Hop],
        on_event: Callable[[Event], None],
        *,
        guard: Guard | None = None,
        security: Security | None = None,
        limits: StreamLimits | None = None,
        admission: Admission | None = None,
        report: Callable[[str], None] = lambda _words: None,
    ) -> None:
        """`listen` are the addresses to bind; `security` is needed where TLS is among them."""
        self.counts: Counter[str] = Counter()
        self._guard = guard or Anyone()
        self._admission = admission
        self._on_event = on_event
        self._report = report
        self._endpoint: Endpoint | None = None
        self._streams = Streams(self, limits or StreamLimits(), security)
        self._listen = tuple(listen)
        self._datagrams = {
            local.is_ipv6: DatagramSocket(local, self.receive, self._on_closed)
            for local in listen
            if local.transport == "udp"
        }
        self._closed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._is_pumping = False

    @property
    def is_open(self) -> bool:
        """Whether calls can come in by every way."""
        return self._streams.is_listening and all(s.is_open for s in self._datagrams.values())

    @property
    def connections(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    async def open(self) -> tuple[Hop, ...]:
        """Bind everything and return the addresses with their ports. Raises OSError."""
        bound: list[Hop] = []
        for socket in self._datagrams.values():
            await socket.open()
            bound.append(socket.local)
        streams = [local for local in self._listen if local.transport != "udp"]
        return (*bound, *[await self._streams.listen(local) for local in streams])

    def run(self, endpoint: Endpoint) -> None:
        """Give messages to `endpoint` from now on; what comes before that is lost."""
        self._endpoint = endpoint

    async def keep_open(self) -> None:
        """Open again whatever closes, and end streams that wait for too long, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._closed.wait()
            except TimeoutError:
                self._streams.sweep()
            if not self.is_open:
                self._report("sip socket closed")
                await self._reopen()

    def close(self) -> None:
        """Close for good."""
        if self._timer is not None:
            self._timer.cancel()
        for socket in self._datagrams.values():
            socket.close()
        self._endpoint = None
        self._streams.close()

    def identities(self, hop: Hop) -> frozenset[str]:
        """Who is at a hop that sent us something: its certificate's names, without TLS its host."""
        return self._streams.names(hop) if hop.transport == "tls" else frozenset({hop.host})

    def flush(self) -> None:
        """Handle new events, send what is to be sent, set the timer."""
        if self._is_pumping or self._endpoint is None:
            return  # a command given while an event is handled: the loop below goes on
        self._is_pumping = True
        try:
            self._pump(self._endpoint)
        finally:
            self._is_pumping = False
        self._set_timer(self._endpoint)

    # For the sockets

    def knows(self, hop: Hop) -> bool:
        """Whether this hop may talk to us."""
        return self._guard.knows(hop)

    def trusts(self, names: frozenset[str]) -> bool:
        """Whether a certificate with these names is one of a peer's."""
        return self._guard.trusts(names)

    def receive(self, message: bytes, source: Hop) -> None:
        """Take a datagram, or a message from a stream."""
        if self._endpoint is None:
            return
        if source.transport == "udp" and not self._guard.knows(source):
            self.counts["foreign_source"] += 1
            return
        now = self._now()
        if self._admission is not None and not self._admission.admits(message, source, now):
            self.counts["too_much"] += 1
            answer = unavailable(message, source, secrets.token_hex(8))
            if answer is not None:
                self._send(*answer)
            return
        self._endpoint.receive_message(message, source, now)
        self.flush()

    def lost(self, hop: Hop) -> None:
        """A hop cannot be reached, or a stream is over."""
        if self._endpoint is not None:
            self._endpoint.unreachable(hop, self._now())
            self.flush()

    def _pump(self, endpoint: Endpoint) -> None:
        while True:
            event = endpoint.next_event()
            if event is not None:
                self._on_event(event)
                continue
            messages = endpoint.messages_to_send()
            if not messages:
                return
            for message, hop in messages:
                self._send(message, hop)

    def _send(self, message: bytes, hop: Hop) -> None:
        if hop.is_reliable:
            self._streams.send(message, hop)
            return
        socket = self._datagrams.get(hop.is_ipv6)
        if socket is None or not socket.send(message, hop):
            self.counts["not_sent"] += 1

    def _set_timer(self, endpoint: Endpoint) -> None:
        due = endpoint.next_timer()
        if due is not None:
            due = math.ceil(due / TIMER_STEP) * TIMER_STEP
        if due == self._due:
            return
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._due = None
        if self._endpoint is not None:
            self._endpoint.handle_timer(self._now())
            self.flush()

    def _on_closed(self) -> None:
        self._closed.set()

    async def _reopen(self) -> None:
        self._closed.clear()
        try:
            for socket in self._datagrams.values():
                if not socket.is_open:
                    await socket.open()
            await self._streams.listen_again()
        except OSError:
            self._report("sip socket cannot be opened")
            await asyncio.sleep(REOPEN_SECONDS)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
