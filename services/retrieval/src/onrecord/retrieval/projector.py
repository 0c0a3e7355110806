"""The use case behind the subscription: keeps the index equal to the fold of the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from onrecord.contracts.entry import Entry
from onrecord.platform.errors import Unavailable
from onrecord.platform.telemetry import get_logger
from onrecord.retrieval.domain.call import Call, TimelineFact
from onrecord.retrieval.domain.fold import fold, timeline_fact

log = get_logger()

TRIES = 5


class Index(Protocol):
    """Where the projection is kept."""

    async def summary(self, call: str) -> Call | None:
        """The call's summary; None for a call that is not known."""

    async def advance(self, before: Call, after: Call, facts: Sequence[TimelineFact]) -> bool:
        """Compare `before.last_seq` and set; False when another was first."""


class Log(Protocol):
    """The record itself."""

    async def read(self, stream: str, from_seq: int) -> list[Entry]:
        """The committed entries of a stream from a seq on, in order."""


class Projector:
    """Applies each entry once and in order, however it is delivered (invariant I6).

    What was applied is dropped; what comes too early makes it read what is missing from the
    ledger. The write itself compares and sets, so several projectors disturb nothing.
    """

    def __init__(self, index: Index, ledger: Log) -> None:
        """`index` holds the result, `ledger` fills gaps."""
        self._index = index
        self._ledger = ledger

    async def on_entry(self, entry: Entry) -> None:
        """Apply an entry. Raises Unavailable when it must be delivered again."""
        for _ in range(TRIES):
            before = await self._index.summary(entry.call) or Call(entry.call)
            if entry.seq <= before.last_seq:
                return
            entries = [entry]
            if entry.seq > before.last_seq + 1:
                entries = await self._missing(before, entry)
            after = before
            for following in entries:
                after = fold(after, following)
            if await self._index.advance(before, after, [timeline_fact(e) for e in entries]):
                return
        raise Unavailable("index_contended", f"call {entry.call}: {TRIES} writes came second")

    async def _missing(self, before: Call, entry: Entry) -> list[Entry]:
        log.info("gap filled from the ledger", call=entry.call, have=before.last_seq, got=entry.seq)
        entries = await self._ledger.read(entry.stream, before.last_seq + 1)
        if not entries or entries[-1].seq < entry.seq:
            raise Unavailable("ledger_behind", f"{entry.stream} ends before seq {entry.seq}")
        return entries
