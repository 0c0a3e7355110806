"""Group commit: everything that waits goes into the log by one ordered insert at its head.

The index is the primary key, so a taken index is a lost race (compare and swap), and an ordered
insert stops there: no gap, no duplicate, several appenders at once are safe. While nobody else
appends, head and seqs are known from the last insert and nothing is read.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from onrecord.consent_ledger.domain.entries import Draft, Head, StoredEntry, assemble
from onrecord.consent_ledger.domain.errors import LedgerRefusal
from onrecord.consent_ledger.ports import EntryLog, StoreUnavailable
from onrecord.platform.clock import monotonic, utc_now
from onrecord.platform.errors import Overloaded, Unavailable
from onrecord.platform.telemetry import get_logger, meter

log = get_logger()
collisions = meter().create_counter("onrecord_ledger_collisions", description="lost races")
appended = meter().create_counter("onrecord_ledger_entries", description="entries committed")

BATCH = 500
MAX_STREAMS_KNOWN = 50_000

Guard = Callable[[Sequence[StoredEntry], datetime], Draft | StoredEntry]
"""Looks at a stream up to the head; gives what to append, or the entry that is there already.

It is asked again after every lost race, so what it allowed still holds where its entry stands.
Raises LedgerRefusal.
"""


@dataclass(eq=False, slots=True)
class _Waiting:
    """One entry to be: a draft, or a guard that makes one for `stream`."""

    stream: str
    work: Draft | Guard
    deadline: float
    done: asyncio.Future[StoredEntry]

    @property
    def draft(self) -> Draft | None:
        return self.work if isinstance(self.work, Draft) else None


class Appender:
    """Appends to one log. Run `run` as a task; the other methods wait for it."""

    def __init__(self, entries: EntryLog, *, capacity: int, patience: float) -> None:
        """Hold at most `capacity` waiting entries; tell each caller within `patience` seconds."""
        self._log = entries
        self._capacity = capacity
        self._patience = patience
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._head: Head | None = None
        self._next_seqs: dict[str, int] = {}
        self._listeners: list[asyncio.Event] = []

    def subscribe(self) -> asyncio.Event:
        """An event that is set after every commit; the listener clears it."""
        event = asyncio.Event()
        self._listeners.append(event)
        return event

    async def append(self, drafts: Sequence[Draft]) -> list[StoredEntry]:
        """Commit the drafts in their order; one whose event id is committed gives that entry.

        Raises Overloaded (nothing was taken), Unavailable (some may be committed: repeat).
        """
        return await self._submit([(draft.stream, draft) for draft in drafts])

    async def append_guarded(self, stream: str, guard: Guard) -> StoredEntry:
        """Commit what `guard` makes of the stream, directly after what it saw.

        Raises as `append`, and what the guard raises.
        """
        return (await self._submit([(stream, guard)]))[0]

    async def run(self) -> None:
        """Write what waits until cancelled."""
        while True:
            await self._wake.wait()
            batch = self._gather()
            if batch:
                await self._commit(batch)
            elif not self._waiting:
                self._wake.clear()

    async def _submit(self, works: Sequence[tuple[str, Draft | Guard]]) -> list[StoredEntry]:
        if len(self._waiting) + len(works) > self._capacity:
            raise Overloaded("ledger_queue_full", f"{len(self._waiting)} entries are waiting")
        loop, deadline = asyncio.get_running_loop(), monotonic() + self._patience
        items = [_Waiting(stream, work, deadline, loop.create_future()) for stream, work in works]
        self._waiting.extend(items)
        self._wake.set()
        outcomes = await asyncio.gather(*(item.done for item in items), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, StoredEntry)]

    def _gather(self) -> list[_Waiting]:
        """Take what goes into the next insert: a run of drafts, or one guarded entry."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < BATCH:
            if self._waiting[0].draft is None and batch:
                break
            item = self._waiting.popleft()
            if item.done.done():
                continue  # Its caller has gone.
            batch.append(item)
            if item.draft is None:
                break
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        losses = 0
        while batch:
            try:
                left = await (
                    self._try_drafts(batch) if batch[0].draft else self._try_guarded(batch[0])
                )
            except StoreUnavailable as error:
                log.warning("store unavailable", error=str(error))
                self._forget()
                losses, left = losses + 1, batch
            else:
                losses = losses + 1 if left else 0
            batch = self._give_up_late(left)
            if batch:
                # Two appenders that collide must not go on in step.
                await asyncio.sleep(random.uniform(0, min(0.002 * 2**losses, 0.5)))  # noqa: S311

    async def _try_drafts(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Insert once; gives what is still to be done, in order."""
        groups: dict[str, list[_Waiting]] = {}
        for item in batch:
            if item.draft:
                groups.setdefault(item.draft.event_id, []).append(item)
        if self._head is None:
            # After a lost race or a failure some of these may be in the log already.
            for event_id, entry in (await self._log.find(groups)).items():
                _resolve(groups.pop(event_id), entry)
        if not groups:
            return []
        head = await self._known_head()
        drafts = [items[0].draft for items in groups.values() if items[0].draft]
        await self._know_seqs({draft.stream for draft in drafts})
        entries = assemble(head, self._next_seqs, drafts, utc_now())
        inserted = await self._insert(entries)
        for entry in entries[:inserted]:
            _resolve(groups.pop(entry.event_id), entry)
        return [item for items in groups.values() for item in items]

    async def _try_guarded(self, item: _Waiting) -> list[_Waiting]:
        guard = item.work
        assert not isinstance(guard, Draft)  # noqa: S101 — narrows the type
        head = await self._known_head()
        entries = await self._log.stream(item.stream)
        if entries and entries[-1].index > head.index:
            self._forget()
            return [item]
        now = utc_now()
        try:
            made = guard(entries, now)
        except LedgerRefusal as refusal:
            if not item.done.done():
                item.done.set_exception(refusal)
            return []
        if isinstance(made, StoredEntry):
            _resolve([item], made)
            return []
        assembled = assemble(head, {item.stream: len(entries)}, [made], now)
        if not await self._insert(assembled):
            return [item]
        _resolve([item], assembled[0])
        return []

    async def _insert(self, entries: Sequence[StoredEntry]) -> int:
        inserted = await self._log.insert(entries)
        if inserted:
            last = entries[inserted - 1]
            self._head = Head(last.index, last.read().recorded_at)
            self._next_seqs.update({one.stream: one.seq + 1 for one in entries[:inserted]})
            appended.add(inserted)
            for event in self._listeners:
                event.set()
        if inserted < len(entries):
            collisions.add(1)
            self._forget()
        return inserted

    async def _known_head(self) -> Head:
        if self._head is None:
            self._head = await self._log.head()
        return self._head

    async def _know_seqs(self, streams: set[str]) -> None:
        if len(self._next_seqs) > MAX_STREAMS_KNOWN:
            self._next_seqs.clear()
        unknown = streams - self._next_seqs.keys()
        if unknown:
            self._next_seqs.update(await self._log.next_seqs(unknown))

    def _forget(self) -> None:
        self._head = None
        self._next_seqs.clear()

    def _give_up_late(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Tell those whose time is up, also in the queue, that the outcome is not known."""
        now = monotonic()
        for item in [*batch, *self._waiting]:
            if item.deadline <= now and not item.done.done():
                item.done.set_exception(
                    Unavailable("ledger_store_unavailable", "repeat with the same event id")
                )
        self._waiting = deque(item for item in self._waiting if not item.done.done())
        return [item for item in batch if not item.done.done()]


def _resolve(items: Sequence[_Waiting], entry: StoredEntry) -> None:
    for item in items:
        if not item.done.done():
            item.done.set_result(entry)
