"""One UDP socket that opens again when it closes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from onrecord.sip.aio.streams import bind
from onrecord.sip.hop import Hop

RECEIVE_BUFFER = 4 << 20
"""Octets, as far as net.core.rmem_max allows. The usual 208 KiB hold about 90 datagrams: at 100
calls a second a pause of 70 ms overran them, and a call whose 200 was lost thrice rang out."""


class DatagramSocket(asyncio.DatagramProtocol):
    """Takes and sends datagrams at one address; `on_closed` is called when it closes by itself."""

    def __init__(
        self, local: Hop, receive: Callable[[bytes, Hop], None], on_closed: Callable[[], None]
    ) -> None:
        self.local = local
        self._receive = receive
        self._on_closed = on_closed
        self._transport: asyncio.DatagramTransport | None = None
        self._is_closed_for_good = False

    @property
    def is_open(self) -> bool:
        """Whether datagrams can come in."""
        return self._transport is not None and not self._transport.is_closing()

    async def open(self) -> None:
        """Bind; a port 0 becomes the one that the system chose. Raises OSError."""
        loop = asyncio.get_running_loop()
        bound = bind(self.local, socket.SOCK_DGRAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self.local = Hop("udp", self.local.host, bound.getsockname()[1])
            await loop.create_datagram_endpoint(lambda: self, sock=bound)
        except OSError:
            bound.close()
            raise

    def send(self, data: bytes, hop: Hop) -> bool:
        """Send a datagram; False when the system took it not: it is lost as any may be."""
        if self._transport is None:
            return False
        try:
            self._transport.sendto(data, (hop.host, hop.port))
        except (OSError, ValueError):
            return False
        return True

    def close(self) -> None:
        """Close for good."""
        self._is_closed_for_good = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; any kind, because uvloop's is its own class."""
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the socket is gone."""
        self._transport = None
        if not self._is_closed_for_good:
            self._on_closed()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Hand a datagram on."""
        self._receive(data, Hop("udp", addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        """A peer's port is closed (ICMP): the transaction's own timers deal with it."""
