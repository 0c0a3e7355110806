"""The sockets under the SIP core: who is heard, what is bounded, and what happens when they die."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from integration.signalling_stand import LOOPBACK, free_port
from onrecord.sip.admission import Admission
from onrecord.sip.aio import Security, SipSockets, StreamLimits
from onrecord.sip.client_leg import Invitation
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import Event, Rejected
from onrecord.sip.headers import Address
from onrecord.sip.hop import Hop
from onrecord.sip.uri import SipUri
from onrecord.standalone.certificates import SipCertificates, ensure_certificates
from onrecord.standalone.folder import DataFolder
from processes import until

OPTIONS = (
    "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/{way} {host}:9;rport;branch=z9hG4bK{n}\r\n"
    "From: <sip:a@{host}>;tag=1\r\nTo: <sip:b@{host}>\r\nCall-ID: c{n}\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)
SECONDS = 10.0


def options(n: int = 1, way: str = "TCP") -> bytes:
    """A control OPTIONS."""
    return OPTIONS.format(host=LOOPBACK, n=n, way=way).encode()


@dataclass
class Only:
    """A guard that knows some addresses and some names."""

    hosts: frozenset[str] = frozenset({LOOPBACK, "::1"})
    names: frozenset[str] = frozenset({LOOPBACK})

    def knows(self, hop: Hop) -> bool:
        """By address."""
        return hop.host in self.hosts

    def trusts(self, names: frozenset[str]) -> bool:
        """By name."""
        return not names.isdisjoint(self.names)


class Running:
    """Sockets with an endpoint on them, its events noted."""

    def __init__(
        self, sockets: SipSockets, endpoint: Endpoint, local: Hop, events: list[Event]
    ) -> None:
        self.sockets = sockets
        self.endpoint = endpoint
        self.local = local
        self.events = events
        self._clients: list[asyncio.StreamWriter] = []

    async def connect(
        self, context: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the address under test."""
        reader, writer = await asyncio.open_connection(
            self.local.host,
            self.local.port,
            ssl=context,
            server_hostname="localhost" if context is not None else None,
        )
        self._clients.append(writer)
        return reader, writer

    async def close(self) -> None:
        """Close both sides."""
        self.sockets.close()
        for writer in self._clients:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def invite(self, hop: Hop, body: bytes = b"") -> None:
        """Call somebody."""
        caller = Address(SipUri(LOOPBACK, "alice"))
        invitation = Invitation(SipUri(LOOPBACK, "1"), caller, body, destinations=(hop,))
        self.endpoint.invite(invitation, asyncio.get_running_loop().time())
        self.sockets.flush()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        await until(holds, SECONDS)


@contextlib.asynccontextmanager
async def running(
    transport: str = "tcp",
    host: str = LOOPBACK,
    *,
    guard: Only | None = None,
    security: Security | None = None,
    limits: StreamLimits | None = None,
    admission: Admission | None = None,
) -> AsyncIterator[Running]:
    """Run an endpoint on one transport."""
    wanted = Hop(transport, host, 0)  # type: ignore[arg-type]
    events: list[Event] = []
    sockets = SipSockets(
        [wanted], events.append,
        guard=guard or Only(), security=security, limits=limits,
        admission=admission,
    )  # fmt: skip
    (local,) = await sockets.open()
    numbers = iter(range(10**9))
    made = Running(sockets, Endpoint(local, tokens=lambda: f"t{next(numbers)}"), local, events)
    sockets.run(made.endpoint)
    keeper = asyncio.create_task(sockets.keep_open())
    try:
        yield made
    finally:
        await made.close()
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


class Peer(asyncio.DatagramProtocol):
    """Somebody who asks OPTIONS over UDP and keeps the answers."""

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
        async with asyncio.timeout(SECONDS):
            while True:
                self.transport.sendto(options(self.asked, "UDP"))
                with contextlib.suppress(TimeoutError):
                    answer = await asyncio.wait_for(self.answers.get(), 0.1)
                    return answer.partition(b"\r\n")[0]


@contextlib.asynccontextmanager
async def datagram_peer(local: Hop) -> AsyncIterator[Peer]:
    """A peer that sends to the address under test."""
    transport, made = await asyncio.get_running_loop().create_datagram_endpoint(
        Peer, remote_addr=(local.host, local.port)
    )
    yield made
    transport.close()


async def status(reader: asyncio.StreamReader) -> bytes:
    """Read one response without a body; return its first line."""
    async with asyncio.timeout(SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
    return head.partition(b"\r\n")[0]


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Wait for the far side's end of the stream."""
    async with asyncio.timeout(SECONDS):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> SipCertificates:
    """Certificates as a stack has them."""
    folder = DataFolder.at(tmp_path_factory.mktemp("tls"))
    return ensure_certificates(folder, LOOPBACK, datetime.now(UTC))


def security(files: SipCertificates, part: str = "stack") -> Security:
    """TLS as a part of these has it."""
    return Security.load(files.certificate(part), files.key(part), files.authority)


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
async def test_a_socket_that_closes_is_opened_again(host: str) -> None:
    """Bug row 1: a closed transport must not leave a live process deaf."""
    async with running("udp", host) as made, datagram_peer(made.local) as peer:
        assert await peer.ask() == b"SIP/2.0 200 OK"
        (socket,) = made.sockets._datagrams.values()
        assert socket._transport is not None
        socket._transport.abort()
        assert await peer.ask() == b"SIP/2.0 200 OK"


async def test_a_listener_that_closes_is_opened_again() -> None:
    """The same for TCP."""
    async with running() as made:
        (server,) = made.sockets._streams._servers.values()
        server.close()
        assert not made.sockets.is_open
        await made.until(lambda: made.sockets.is_open)
        reader, writer = await made.connect()
        writer.write(options())
        assert await status(reader) == b"SIP/2.0 200 OK"
        writer.close()


async def test_strangers_are_not_heard() -> None:
    """What comes from sources that the guard does not know is dropped unread, or cut off."""
    stranger = Only(hosts=frozenset({"192.0.2.1"}))
    async with running("udp", guard=stranger) as made, datagram_peer(made.local) as peer:
        peer.transport.sendto(options(1, "UDP"))
        await made.until(lambda: made.sockets.counts["foreign_source"] == 1)
        assert peer.answers.empty()
    async with running(guard=stranger) as made:
        reader, writer = await made.connect()
        writer.write(options())
        assert await is_closed(reader)
        assert made.sockets.counts["foreign_source"] == 1
        assert made.sockets.connections == 0
        writer.close()


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
async def test_requests_on_a_stream_are_answered_on_it(host: str) -> None:
    """However they are cut, over both IP versions, a ping between them (RFC 5626 §3.5.1)."""
    async with running(host=host) as made:
        reader, writer = await made.connect()
        for piece in (options(1)[:40], options(1)[40:] + b"\r\n\r\n" + options(2)[:9]):
            writer.write(piece)
            await writer.drain()
        assert await status(reader) == b"SIP/2.0 200 OK"
        assert await reader.readexactly(2) == b"\r\n"
        writer.write(options(2)[9:])
        assert await status(reader) == b"SIP/2.0 200 OK"
        writer.close()


async def test_a_call_goes_over_tls_both_ways(certificates: SipCertificates) -> None:
    """Each side shows a certificate; the names that count are those of the far side's."""
    phone = security(certificates, "phone")
    async with (
        running("tls", security=security(certificates)) as called,
        running("tls", security=phone) as caller,
    ):
        caller.invite(called.local)
        await called.until(lambda: bool(called.events))
        (incoming,) = called.events
        assert called.sockets.identities(incoming.source) >= {LOOPBACK, "::1"}  # type: ignore[union-attr]
        called.endpoint.reject(incoming.leg, 486, asyncio.get_running_loop().time())
        called.sockets.flush()
        await caller.until(lambda: bool(caller.events))
        assert caller.events == [Rejected(caller.events[0].leg, 486, "Busy Here")]
        assert (called.sockets.connections, caller.sockets.connections) == (1, 1)


@pytest.mark.parametrize("who", ["nobody", "stranger", "another"])
async def test_a_tls_peer_without_the_right_certificate_is_cut_off(
    certificates: SipCertificates, tmp_path: Path, who: str
) -> None:
    """No certificate, another authority's, or one that names no peer: nothing is read."""
    others = ensure_certificates(DataFolder.at(tmp_path), LOOPBACK, datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(certificates.authority))
    if who != "nobody":
        shown = certificates if who == "another" else others
        context.load_cert_chain(shown.certificate("phone"), shown.key("phone"))
    guard = Only(names=frozenset({"trunk.example"}))
    mine = security(certificates)
    async with running("tls", guard=guard, security=mine) as made:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            reader, writer = await made.connect(context)
            writer.write(options())
            await is_closed(reader)
            writer.close()
        reason = "tls_name" if who == "another" else "tls_handshake"
        await made.until(lambda: made.sockets.counts[reason] == 1)
        assert made.sockets.connections == 0


async def test_an_unreachable_peer_is_a_503_at_once() -> None:
    """A refused connection does not wait for timer B; a stranger is not connected to."""
    async with running() as made:
        made.invite(Hop("tcp", LOOPBACK, free_port()))
        made.invite(Hop("tcp", "192.0.2.1", 5060))
        await made.until(lambda: len(made.events) == 2)
        assert {event.status for event in made.events} == {503}  # type: ignore[union-attr]
        assert made.sockets.counts["not_connected"] == 1
        assert made.sockets.counts["foreign_target"] == 1


async def test_a_lost_connection_is_a_503_at_once() -> None:
    """The far side takes the INVITE and closes without a word."""

    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, LOOPBACK, 0)
    async with running() as made, server:
        made.invite(Hop("tcp", LOOPBACK, server.sockets[0].getsockname()[1]))
        await made.until(lambda: bool(made.events))
        assert made.events[0].status == 503  # type: ignore[union-attr]
        assert made.sockets.connections == 0


async def test_a_stream_that_is_given_up_before_it_opens_is_closed() -> None:
    """More waits for it than may wait: what the network opens all the same is not left open."""
    closed = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        closed.set()

    server = await asyncio.start_server(hear, LOOPBACK, 0)
    async with running(limits=StreamLimits(unsent=100)) as made, server:
        made.invite(Hop("tcp", LOOPBACK, server.sockets[0].getsockname()[1]))
        await made.until(lambda: bool(made.events))
        assert made.sockets.counts["slow_reader"] == 1
        await asyncio.wait_for(closed.wait(), SECONDS)


async def test_requests_to_one_peer_share_a_connection() -> None:
    """Many calls, one stream."""
    async with running() as called, running() as caller:
        for _ in range(20):
            caller.invite(called.local)
        await called.until(lambda: len(called.events) == 20)
        assert (called.sockets.connections, caller.sockets.connections) == (1, 1)


async def test_a_response_finds_its_way_when_the_connection_is_gone() -> None:
    """§18.2.2: to the port that the Via names, at the source's address."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait(await status(reader))
        writer.close()

    server = await asyncio.start_server(hear, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    invite = (
        options()
        .replace(b"OPTIONS", b"INVITE")
        .replace(b"TCP 127.0.0.1:9", b"TCP 127.0.0.1:%d" % port)
        .replace(b"Content-Length", b"Contact: <sip:a@127.0.0.1>\r\nContent-Length")
    )
    async with running() as made, server:
        reader, writer = await made.connect()
        writer.write(invite)
        assert await status(reader) == b"SIP/2.0 100 Trying"
        writer.close()
        await made.until(lambda: made.sockets.connections == 0)
        made.endpoint.reject(made.events[0].leg, 486, asyncio.get_running_loop().time())
        made.sockets.flush()
        assert await asyncio.wait_for(heard.get(), SECONDS) == b"SIP/2.0 486 Busy Here"


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"INVITE sip:a", "half_open"),
        (b"", "never_spoke"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "no_length"),
        (b"x" * 70_000, "too_large"),
    ],
)
async def test_a_stream_that_keeps_us_waiting_is_cut_off(sent: bytes, reason: str) -> None:
    """A message that does not end, one that does not begin, and what is no SIP."""
    limits = StreamLimits(to_finish=0.2, to_begin=1.2)
    async with running(limits=limits) as made:
        reader, writer = await made.connect()
        writer.write(sent)
        assert await is_closed(reader)
        assert made.sockets.counts[reason] == 1
        writer.close()


async def test_an_idle_connection_is_closed_and_opened_again_when_needed() -> None:
    """Idle streams cost no place for ever."""
    async with running() as called, running(limits=StreamLimits(idle=0.1)) as caller:
        for calls in (1, 2):
            caller.invite(called.local)
            await called.until(lambda calls=calls: len(called.events) == calls)
            await caller.until(lambda: caller.sockets.connections == 0)
        assert caller.sockets.counts["connections_opened"] == 2


async def test_connections_are_bounded() -> None:
    """One source more than its share is refused; those that are there go on."""
    async with running(limits=StreamLimits(per_source=2)) as made:
        streams = [await made.connect() for _ in range(3)]
        await made.until(lambda: made.sockets.counts["too_many_connections"] == 1)
        assert await is_closed(streams[2][0])
        for n, (reader, writer) in enumerate(streams[:2]):
            writer.write(options(n))
            assert await status(reader) == b"SIP/2.0 200 OK"
        for _, writer in streams:
            writer.close()


async def test_handshakes_that_go_on_are_bounded(certificates: SipCertificates) -> None:
    """Strangers who begin a handshake and do not end it are few, and soon cut off."""
    limits = StreamLimits(half_open=2, to_open=1.2)
    async with running("tls", security=security(certificates), limits=limits) as made:
        streams = [await made.connect() for _ in range(3)]
        await made.until(lambda: made.sockets.counts["too_many_connections"] == 1)
        for reader, writer in streams:
            assert await is_closed(reader)
            writer.close()
        assert made.sockets.counts["tls_handshake"] == 2


async def test_a_slow_reader_is_dropped() -> None:
    """A far side that asks and does not read the answers is cut off, and what waits is bounded."""
    async with running(limits=StreamLimits(unsent=10_000)) as made:
        _, writer = await made.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            for n in range(100_000):
                writer.write(options(n))
                await writer.drain()
                if made.sockets.counts["slow_reader"]:
                    break
        assert made.sockets.counts["slow_reader"]
        writer.close()
        reader, writer = await made.connect()
        writer.write(options(100_001))
        assert await status(reader) == b"SIP/2.0 200 OK"
        writer.close()


async def test_what_a_source_brings_too_much_of_is_shed_unread() -> None:
    """503 from in front of the parser; a call to 112 is taken all the same."""
    admission = Admission(1.0, lambda uri: uri.number == "112")
    async with running(admission=admission) as made:
        reader, writer = await made.connect()
        writer.write(options(1) + options(2))
        assert await status(reader) == b"SIP/2.0 200 OK"
        assert await status(reader) == b"SIP/2.0 503 Service Unavailable"
        assert made.sockets.counts["too_much"] == 1
        assert made.endpoint.received["OPTIONS"] == 1
        invite = options(3).replace(b"OPTIONS sip:", b"INVITE sip:112@")
        invite = invite.replace(b"1 OPTIONS", b"1 INVITE\r\nContact: <sip:a@127.0.0.1>")
        writer.write(invite)
        assert await status(reader) == b"SIP/2.0 100 Trying"
        writer.close()
