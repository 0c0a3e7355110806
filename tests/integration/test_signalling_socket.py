"""The UDP shell under the SIP core: who is heard, and what happens when the socket dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import pytest
from integration.signalling_stand import LOOPBACK, free_port
from onrecord.signalling.adapters.sip_socket import SipSocket
from onrecord.sip.events import Event

OPTIONS = (
    "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP {host};rport;branch=z9hG4bK{n}\r\n"
    "From: <sip:a@{host}>;tag=1\r\nTo: <sip:b@{host}>\r\nCall-ID: c{n}\r\nCSeq: 1 OPTIONS\r\n\r\n"
)


class Peer(asyncio.DatagramProtocol):
    """Somebody who asks OPTIONS and keeps the answers."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Keep an answer."""
        self.answers.put_nowait(data)

    async def ask(self) -> bytes:
        """Ask OPTIONS, again and again as UDP needs; return the first line of the answer."""
        self.asked += 1
        async with asyncio.timeout(10):
            while True:
                self.transport.sendto(OPTIONS.format(host=LOOPBACK, n=self.asked).encode())
                with contextlib.suppress(TimeoutError):
                    answer = await asyncio.wait_for(self.answers.get(), 0.1)
                    return answer.partition(b"\r\n")[0]


@pytest.fixture
async def address() -> tuple[str, int]:
    """A free UDP address."""
    return LOOPBACK, free_port()


@pytest.fixture
async def peer(address: tuple[str, int]) -> AsyncIterator[Peer]:
    """A peer that sends to the address under test."""
    transport, made = await asyncio.get_running_loop().create_datagram_endpoint(
        Peer, remote_addr=address
    )
    yield made
    transport.close()


def ignore(_event: Event) -> None:
    """Take no calls."""


async def test_a_socket_that_closes_is_opened_again(address: tuple[str, int], peer: Peer) -> None:
    """Bug row 1: a closed transport must not leave a live process deaf."""
    socket = SipSocket(address, "", frozenset({LOOPBACK}), ignore)
    await socket.open()
    keeper = asyncio.create_task(socket.keep_open())
    assert await peer.ask() == b"SIP/2.0 200 OK"
    assert socket._transport is not None
    socket._transport.abort()
    assert await peer.ask() == b"SIP/2.0 200 OK"
    socket.close()
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)


async def test_strangers_are_not_heard(address: tuple[str, int], peer: Peer) -> None:
    """Datagrams of sources that the routes file does not name are dropped unread."""
    socket = SipSocket(address, "", frozenset({"192.0.2.1"}), ignore)
    await socket.open()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await peer.ask()
    assert not socket.endpoint.dropped
    socket.close()
