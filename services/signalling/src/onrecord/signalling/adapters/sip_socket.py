"""The UDP socket under the SIP core: datagrams in and out, one timer, nothing else."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable

from onrecord.platform.telemetry import get_logger, meter
from onrecord.sip.capabilities import Capabilities
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import Event
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request

log = get_logger()
refused_sources = meter().create_counter(
    "onrecord_sip_foreign_datagrams", description="datagrams from sources that are no peer"
)

REOPEN_SECONDS = 0.2
RECEIVE_BUFFER = 4 << 20
"""Octets, as far as net.core.rmem_max allows. The usual 208 KiB hold about 90 datagrams: at 100
calls a second a pause of 70 ms overran them, and a call whose 200 was lost thrice rang out."""


class SipSocket(asyncio.DatagramProtocol):
    """Runs one `Endpoint` on one UDP socket and opens it again if it closes.

    Datagrams from sources outside `sources` are counted and dropped unread. `on_event` is called
    for each event and may give commands to `endpoint`; `flush` sends what they caused. `admits`
    says which new calls may come in, `capabilities` what they may ask for, as `Endpoint` has them.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        advertise: str,
        sources: frozenset[str],
        on_event: Callable[[Event], None],
        admits: Callable[[Request], bool] | None = None,
        *,
        capabilities: Capabilities | None = None,
    ) -> None:
        self.endpoint = Endpoint(
            Hop("udp", advertise or listen[0], listen[1]),
            tokens=lambda: secrets.token_hex(8),
            admits=admits,
            capabilities=capabilities,
        )
        self._listen = listen
        self._sources = sources
        self._on_event = on_event
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._is_pumping = False
        self._is_closed_for_good = False

    @property
    def is_open(self) -> bool:
        """Whether calls can come in."""
        return self._transport is not None and not self._transport.is_closing()

    async def open(self) -> None:
        """Bind; raise OSError when the address is taken."""
        self._closed.clear()
        loop = asyncio.get_running_loop()
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            bound.setblocking(False)
            bound.bind(self._listen)
            await loop.create_datagram_endpoint(lambda: self, sock=bound)
        except OSError:
            bound.close()
            raise

    async def keep_open(self) -> None:
        """Open the socket again whenever it closes, until cancelled."""
        while True:
            await self._closed.wait()
            log.error("sip socket closed")
            try:
                await self.open()
            except OSError as error:
                log.warning("sip socket cannot be opened", error=repr(error))
                await asyncio.sleep(REOPEN_SECONDS)

    def close(self) -> None:
        """Close for good."""
        self._is_closed_for_good = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()

    def flush(self) -> None:
        """Handle new events, send what is to be sent, set the timer."""
        if self._is_pumping:
            return  # a command given while an event is handled: the loop below goes on
        self._is_pumping = True
        try:
            self._pump()
        finally:
            self._is_pumping = False
        self._set_timer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; any kind, because uvloop's is its own class."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the socket is gone."""
        self._transport = None
        if not self._is_closed_for_good:
            self._closed.set()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take a datagram from a known source."""
        if addr[0] not in self._sources:
            refused_sources.add(1)
            return
        now = asyncio.get_running_loop().time()
        self.endpoint.receive_message(data, Hop("udp", addr[0], addr[1]), now)
        self.flush()

    def error_received(self, exc: Exception) -> None:
        """A peer's port is closed (ICMP): the transaction's own timers deal with it."""
        log.debug("sip peer unreachable", error=repr(exc))

    def _pump(self) -> None:
        while True:
            event = self.endpoint.next_event()
            if event is not None:
                self._on_event(event)
                continue
            messages = self.endpoint.messages_to_send()
            if not messages:
                return
            for data, hop in messages:
                self._send(data, hop)

    def _send(self, data: bytes, hop: Hop) -> None:
        if self._transport is None:
            return  # lost like any datagram; it is retransmitted
        try:
            self._transport.sendto(data, (hop.host, hop.port))
        except (OSError, ValueError) as error:
            log.warning("sip datagram not sent", error=repr(error))

    def _set_timer(self) -> None:
        due = self.endpoint.next_timer()
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
        self.endpoint.handle_timer(asyncio.get_running_loop().time())
        self.flush()
