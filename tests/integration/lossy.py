"""A bad network: a UDP relay on loopback that loses datagrams both ways, by a seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

LOOPBACK = "127.0.0.1"


@dataclass
class Losses:
    """What the relay let through and what it lost."""

    passed: int = 0
    lost: int = 0


@dataclass
class _Side(asyncio.DatagramProtocol):
    """One socket of the relay; what it hears leaves by the other one, or not at all."""

    rate: float
    chance: random.Random
    losses: Losses
    peer: tuple[str, int] | None = None
    across: _Side | None = None
    transport: asyncio.DatagramTransport | None = field(default=None, repr=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.peer is None:
            self.peer = addr
        if self.chance.random() < self.rate:
            self.losses.lost += 1
        elif self.across is not None and self.across.transport is not None:
            self.losses.passed += 1
            self.across.transport.sendto(data, self.across.peer)


@contextlib.asynccontextmanager
async def lossy(
    port: int, target: tuple[str, int], *, rate: float, seed: int
) -> AsyncIterator[Losses]:
    """Relay between whoever sends to `port` first and `target`, losing this share each way."""
    losses, chance = Losses(), random.Random(seed)  # noqa: S311 - a repeatable fault script
    near, far = _Side(rate, chance, losses), _Side(rate, chance, losses, target)
    near.across, far.across = far, near
    loop = asyncio.get_running_loop()
    first, _ = await loop.create_datagram_endpoint(lambda: near, local_addr=(LOOPBACK, port))
    second, _ = await loop.create_datagram_endpoint(lambda: far, local_addr=(LOOPBACK, 0))
    try:
        yield losses
    finally:
        first.close()
        second.close()
