"""The mover's UDP sockets, one per leg, drained together on a tick."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from random import SystemRandom

from onrecord.media_recorder.mover.call import MoverRefused
from onrecord.media_recorder.mover.engine import Send
from onrecord.media_recorder.mover.source import Address
from onrecord.rtp.packet import MAX_OCTETS

# Half a second of one leg's packets: a mover that is held up that long loses nothing in the kernel.
RECEIVE_BUFFER = 65_536
# Datagrams taken from one socket per tick, so that a flood on one leg does not starve the others.
BURST = 32
TRIES = 200


class LegSockets:
    """Opens, drains and closes the sockets of flows on one address and port range."""

    def __init__(self, host: str, ports: range, epoll: select.epoll) -> None:
        """`ports` are tried at random, even ones only (RFC 3550 §11)."""
        self._host = host
        self._ports = ports
        self._epoll = epoll
        self._random = SystemRandom()
        self._of_flow: dict[int, socket.socket] = {}
        self._of_descriptor: dict[int, tuple[int, socket.socket]] = {}

    def bind(self, flow: int) -> int:
        """Open a port for a flow and give its number."""
        even = range(self._ports.start + self._ports.start % 2, self._ports.stop, 2)
        for port in self._random.sample(even, min(TRIES, len(even))):
            try:
                opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            except OSError:
                # The descriptors are used up: this call is refused, the others go on.
                raise MoverRefused("no_free_descriptor") from None
            try:
                opened.bind((self._host, port))
            except OSError:
                opened.close()
                continue
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._of_flow[flow] = opened
            self._of_descriptor[opened.fileno()] = (flow, opened)
            self._epoll.register(opened.fileno(), select.EPOLLIN)
            return port
        raise MoverRefused("no_free_port")

    def release(self, flow: int) -> None:
        """Close a flow's port, if it has one."""
        opened = self._of_flow.pop(flow, None)
        if opened is not None:
            self._epoll.unregister(opened.fileno())
            del self._of_descriptor[opened.fileno()]
            opened.close()

    def drain(self, descriptor: int) -> Iterator[tuple[int, bytes, Address]]:
        """Give what waits at a socket: the flow, the datagram and where it came from."""
        found = self._of_descriptor.get(descriptor)
        if found is None:
            return
        flow, opened = found
        for _ in range(BURST):
            try:
                datagram, source = opened.recvfrom(MAX_OCTETS + 1)
            except OSError:
                # Nothing more, or an ICMP error of a peer that is gone: neither is ours to mend.
                return
            yield flow, datagram, (source[0], source[1])

    def send(self, send: Send) -> bool:
        """Send a datagram from its flow's port; False when the system did not take it."""
        opened = self._of_flow.get(send.flow)
        if opened is None:
            return False
        try:
            opened.sendto(send.datagram, send.address)
        except OSError:
            return False
        return True
