"""Who watches a call's media, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

# A watcher that falls further behind misses the oldest: what it is told is news, not record.
BACKLOG: Final = 256


@dataclass(frozen=True, slots=True)
class News:
    """One happening: `what` is first_packet, dtmf, rtp_timeout or failed."""

    leg: str
    what: str
    digit: str = ""
    duration_ms: int = 0
    seconds: int = 0
    cause: str = ""


class Watchers:
    """Hands each call's news to all who watch it."""

    def __init__(self) -> None:
        """Begin with nobody watching."""
        self._queues: dict[str, set[asyncio.Queue[News | None]]] = {}

    def tell(self, call: str, news: News) -> None:
        """Tell all watchers of a call."""
        for queue in self._queues.get(call, ()):
            _put(queue, news)

    def end(self, call: str) -> None:
        """Tell all watchers that the call's media is closed."""
        for queue in self._queues.pop(call, ()):
            _put(queue, None)

    def end_all(self) -> None:
        """Tell everybody that this recorder is going."""
        for call in list(self._queues):
            self.end(call)

    async def watch(self, call: str) -> AsyncIterator[News]:
        """Give the call's news from now on until it is closed."""
        queue: asyncio.Queue[News | None] = asyncio.Queue(BACKLOG)
        self._queues.setdefault(call, set()).add(queue)
        try:
            while (news := await queue.get()) is not None:
                yield news
        finally:
            watching = self._queues.get(call, set())
            watching.discard(queue)
            if not watching:
                self._queues.pop(call, None)


def _put(queue: asyncio.Queue[News | None], news: News | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(news)
