"""All TCP and TLS streams of one endpoint, in one table, with a bound on everything."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol

from onrecord.sip.aio.connection import Connection
from onrecord.sip.aio.security import Security
from onrecord.sip.hop import Hop

BACKLOG = 256


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams there may be, what each may hold, and how long it may keep us waiting.

    Counts are of streams that others opened, `half_open` of those whose TLS handshake goes on: who
    has no certificate cannot take the places of those who have. `unsent` is in octets, the rest in
    seconds: to connect and shake hands, for one message from its first octet to its last, before
    the first message and between two of them.
    """

    total: int = 1000
    per_source: int = 100
    half_open: int = 200
    unsent: int = 256 * 1024
    to_open: float = 4.0
    to_finish: float = 10.0
    to_begin: float = 30.0
    idle: float = 900.0


class Owner(Protocol):
    """Whose streams these are."""

    counts: Counter[str]

    def knows(self, hop: Hop) -> bool:
        """Whether this hop may connect, and be connected to."""

    def trusts(self, names: frozenset[str]) -> bool:
        """Whether a certificate with these names is one of a peer's."""

    def receive(self, message: bytes, source: Hop) -> None:
        """Take a message."""

    def lost(self, hop: Hop) -> None:
        """Learn that a hop cannot be reached, or that a stream is over."""


class Streams:
    """Listens, connects, and finds the stream for a hop; `sweep` is called every second or so."""

    def __init__(self, owner: Owner, limits: StreamLimits, security: Security | None) -> None:
        """Without `security` there is no TLS: such a hop cannot be reached."""
        self._owner = owner
        self._limits = limits
        self._security = security
        self._numbers = count(1)
        self._table: dict[int, Connection] = {}
        self._by_target: dict[Hop, Connection] = {}
        self._servers: dict[Hop, asyncio.Server] = {}
        self._local: dict[bool, Hop] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._table)

    @property
    def is_listening(self) -> bool:
        """Whether all of our addresses can be connected to."""
        return all(server.is_serving() for server in self._servers.values())

    async def listen(self, local: Hop) -> Hop:
        """Listen on an address, again if need be, and return it with its port. Raises OSError."""
        loop = asyncio.get_running_loop()
        listening = bind(local, socket.SOCK_STREAM)
        listening.listen(BACKLOG)
        bound = replace(local, port=listening.getsockname()[1])
        server = await loop.create_server(lambda: self._theirs(bound), sock=listening)
        self._servers[bound] = server
        self._local[bound.is_ipv6] = bound
        return bound

    async def listen_again(self) -> None:
        """Open what has closed. Raises OSError."""
        for local, server in list(self._servers.items()):
            if not server.is_serving():
                await self.listen(local)

    def send(self, message: bytes, hop: Hop) -> None:
        """Send over the stream that the hop names, else over any to its address, else a new one."""
        connection = self._table.get(hop.connection) or self._by_target.get(_target(hop))
        if connection is None:
            connection = self._connect(_target(hop))
        if connection is not None:
            connection.send(message)

    def names(self, hop: Hop) -> frozenset[str]:
        """Return what the certificate of a stream's far side says; empty without one."""
        connection = self._table.get(hop.connection)
        return connection.names if connection is not None else frozenset()

    def sweep(self) -> None:
        """End the streams that are silent or slow for too long."""
        now, limits = asyncio.get_running_loop().time(), self._limits
        for one in list(self._table.values()):
            if not one.is_open and now - one.began_at > limits.to_open:
                one.end("not_connected" if one.is_ours else "tls_handshake")
            elif one.is_inside_message and now - one.began_at > limits.to_finish:
                one.end("half_open")
            elif now - one.heard_at > (limits.to_begin if one.is_silent else limits.idle):
                one.end("" if one.is_ours or not one.is_silent else "never_spoke")

    def close(self) -> None:
        """Close everything."""
        for server in self._servers.values():
            server.close()
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._table.values()):
            connection.end("")

    # For the connections

    def admit(self, connection: Connection) -> bool:
        """Whether somebody who has connected may stay."""
        hop = connection.hop
        theirs = [one.hop.host for one in self._table.values() if not one.is_ours]
        half_open = sum(not (one.is_ours or one.is_open) for one in self._table.values())
        if not self._owner.knows(hop):
            self._owner.counts["foreign_source"] += 1
        elif (
            len(theirs) >= self._limits.total
            or theirs.count(hop.host) >= self._limits.per_source
            or half_open >= self._limits.half_open
        ):
            self._owner.counts["too_many_connections"] += 1
        else:
            self._table[hop.connection] = connection
            self._owner.counts["connections_accepted"] += 1
            return True
        return False

    def trusts(self, names: frozenset[str]) -> bool:
        """Whether a certificate with these names is one of a peer's."""
        return self._owner.trusts(names)

    def receive(self, connection: Connection, message: bytes) -> None:
        """Take a message."""
        self._owner.receive(message, connection.hop)

    def lost(self, connection: Connection, reason: str) -> None:
        """Forget a connection that is over, and say so."""
        if reason:
            self._owner.counts[reason] += 1
        if self._table.pop(connection.hop.connection, None) is not None:
            target = _target(connection.hop)
            if self._by_target.get(target) is connection:
                del self._by_target[target]
            self._owner.lost(connection.hop)

    def _theirs(self, local: Hop) -> Connection:
        hop = replace(local, connection=next(self._numbers))
        return self._connection(hop, is_ours=False)

    def _connect(self, target: Hop) -> Connection | None:
        """Open a stream of ours; None, and the hop is lost, where we may not or cannot."""
        has_transport = target.transport == "tcp" or self._security is not None
        if not has_transport or not self._owner.knows(target):
            self._owner.counts["foreign_target"] += 1
            asyncio.get_running_loop().call_soon(self._owner.lost, target)
            return None
        hop = replace(target, connection=next(self._numbers))
        connection = self._connection(hop, is_ours=True)
        self._table[hop.connection] = self._by_target[target] = connection
        self._own(self._open(connection))
        return connection

    async def _open(self, connection: Connection) -> None:
        hop = connection.hop
        local = self._local.get(hop.is_ipv6)
        source = (local.host, 0) if local is not None else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.to_open):
                await loop.create_connection(
                    lambda: connection, hop.host, hop.port, local_addr=source
                )
        except OSError:  # TimeoutError among them
            connection.end("not_connected")
        else:
            self._owner.counts["connections_opened"] += 1

    def _connection(self, hop: Hop, *, is_ours: bool) -> Connection:
        security = self._security if hop.transport == "tls" else None
        return Connection(hop, self, security, self._limits.unsent, is_ours=is_ours)

    def _own(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def bind(local: Hop, kind: socket.SocketKind) -> socket.socket:
    """Return a non-blocking socket on an address of ours. Raises OSError when it is taken.

    IPv6 is IPv6 only: a mapped address would hide who somebody is.
    """
    family = socket.AF_INET6 if local.is_ipv6 else socket.AF_INET
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if local.is_ipv6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((local.host, local.port))
    except OSError:
        bound.close()
        raise
    return bound


def _target(hop: Hop) -> Hop:
    return replace(hop, connection=0)
