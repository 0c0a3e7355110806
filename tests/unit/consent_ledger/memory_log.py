"""The ledger's log in memory, with faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from onrecord.consent_ledger.domain.entries import Draft, Head, StoredEntry, assemble
from onrecord.consent_ledger.ports import StoreUnavailable


class MemoryLog:
    """A log with the collection's rules: unique index, event id and place in a stream.

    `faults` are taken one per insert: a number lets so many entries in and then loses the answer,
    a function runs first (another appender's insert).
    """

    def __init__(self) -> None:
        self.entries: list[StoredEntry] = []
        self.faults: list[int | Callable[[], None]] = []
        self.inserts = 0
        self.down = False

    async def head(self) -> Head:
        """Where the log ends."""
        await self._answer()
        if not self.entries:
            return Head(-1, None)
        return Head(self.entries[-1].index, self.entries[-1].read().recorded_at)

    async def next_seqs(self, streams: Collection[str]) -> dict[str, int]:
        """The next seq of each stream."""
        await self._answer()
        return {stream: len(self._stream(stream)) for stream in streams}

    async def find(self, event_ids: Collection[str]) -> dict[str, StoredEntry]:
        """Those events that are there."""
        await self._answer()
        return {one.event_id: one for one in self.entries if one.event_id in event_ids}

    async def stream(self, stream: str, limit: int = 0, from_seq: int = 0) -> list[StoredEntry]:
        """The entries of a stream."""
        await self._answer()
        return self._stream(stream)[: limit or None]

    async def page(self, index: int, limit: int) -> list[StoredEntry]:
        """Entries from an index on."""
        await self._answer()
        return self.entries[index : index + limit]

    async def insert(self, entries: Sequence[StoredEntry]) -> int:
        """Ordered insert, up to the first collision."""
        await self._answer()
        self.inserts += 1
        fault = self.faults.pop(0) if self.faults else None
        if callable(fault):
            fault()
        for place, entry in enumerate(entries):
            if place == fault:
                raise StoreUnavailable("answer lost")
            if self._collides(entry):
                return place
            self.entries.append(entry)
        if fault == len(entries):
            raise StoreUnavailable("answer lost")
        return len(entries)

    def append(self, *drafts: Draft) -> None:
        """What another appender does."""
        head = self.entries[-1].index if self.entries else -1
        for number, one in enumerate(drafts, start=head):
            seqs = {one.stream: len(self._stream(one.stream))}
            self.entries += assemble(Head(number, None), seqs, [one], datetime.now(UTC))

    def _collides(self, entry: StoredEntry) -> bool:
        return entry.index != len(self.entries) or any(
            entry.event_id == one.event_id or (entry.stream, entry.seq) == (one.stream, one.seq)
            for one in self.entries
        )

    def _stream(self, stream: str) -> list[StoredEntry]:
        return [one for one in self.entries if one.stream == stream]

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise StoreUnavailable("down")
