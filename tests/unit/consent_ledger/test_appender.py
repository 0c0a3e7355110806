"""The appender on a log in memory: races, lost answers, repeats, guards, limits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from ledgers import fact
from onrecord.consent_ledger.appender import Appender
from onrecord.consent_ledger.domain.entries import Draft, Head, StoredEntry, assemble, open_draft
from onrecord.consent_ledger.domain.errors import LedgerRefusal
from onrecord.platform.errors import Overloaded, Unavailable
from unit.consent_ledger.memory_log import MemoryLog


def one(number: int, call: str = "c1") -> Draft:
    """The draft of the call's fact with this number."""
    return open_draft(fact(call, "recording.failed", discriminator=str(number)))


@asynccontextmanager
async def running(
    log: MemoryLog, capacity: int = 100, patience: float = 5.0
) -> AsyncIterator[Appender]:
    """An appender at work."""
    appender = Appender(log, capacity=capacity, patience=patience)
    task = asyncio.create_task(appender.run())
    yield appender
    task.cancel()


def assert_whole(log: MemoryLog) -> None:
    """I4 on the log in memory."""
    assert [entry.index for entry in log.entries] == list(range(len(log.entries)))
    assert len({entry.event_id for entry in log.entries}) == len(log.entries)
    seqs: dict[str, int] = {}
    for entry in log.entries:
        assert entry.seq == seqs.get(entry.stream, 0)
        seqs[entry.stream] = entry.seq + 1


async def test_what_waits_is_written_together() -> None:
    """Many appends at once need few inserts and keep each caller's order."""
    log = MemoryLog()
    async with running(log) as appender:
        await asyncio.gather(*(appender.append([one(n, f"c{n % 7}")]) for n in range(60)))
    assert len(log.entries) == 60
    assert log.inserts < 5
    assert_whole(log)


async def test_a_repeat_is_the_same_entry() -> None:
    """The same event id, in one batch or later, answers with the entry that is there."""
    log = MemoryLog()
    async with running(log) as appender:
        twice = await appender.append([one(0), one(0), one(1)])
        again = await appender.append([one(1), one(2), one(0)])
    assert [entry.index for entry in twice] == [0, 0, 1]
    assert [entry.index for entry in again] == [1, 2, 0]
    assert_whole(log)


async def test_a_lost_race_is_run_again() -> None:
    """When another appender takes the index or the stream's place, ours goes behind it."""
    log = MemoryLog()
    log.faults = [lambda: log.append(one(100), one(101)), lambda: log.append(one(102))]
    async with running(log) as appender:
        entries = await appender.append([one(0), one(1)])
    assert [entry.index for entry in entries] == [3, 4]
    assert_whole(log)


async def test_a_fact_that_another_appender_entered_is_not_entered_again() -> None:
    """A race lost to the very same fact ends with the other's entry."""
    log = MemoryLog()
    log.faults = [lambda: log.append(one(1))]
    async with running(log) as appender:
        entries = await appender.append([one(0), one(1), one(2)])
    assert [entry.event_id for entry in entries] == [one(n).event_id for n in range(3)]
    assert len(log.entries) == 3
    assert_whole(log)


@pytest.mark.parametrize("reached", [0, 1, 2, 3])
async def test_a_lost_answer_is_found_out(reached: int) -> None:
    """Whether none, some or all of a batch was written before the answer was lost: each once."""
    log = MemoryLog()
    log.faults = [reached]
    async with running(log) as appender:
        entries = await appender.append([one(0), one(1), one(2)])
    assert [entry.index for entry in entries] == [0, 1, 2]
    assert_whole(log)


async def test_a_guard_is_asked_again_after_a_lost_race() -> None:
    """What a guard allowed on an old fold is not written behind a newer one."""
    log = MemoryLog()
    log.faults = [lambda: log.append(one(100))]
    seen: list[int] = []

    class Late(LedgerRefusal):
        """The guard's no."""

    def guard(entries: Sequence[StoredEntry], _now: datetime) -> Draft:
        seen.append(len(entries))
        if entries:
            raise Late
        return one(0)

    async with running(log) as appender:
        with pytest.raises(Late):
            await appender.append_guarded("call/c1", guard)
    assert seen == [0, 1]
    assert [entry.event_id for entry in log.entries] == [one(100).event_id]


async def test_a_guarded_entry_keeps_its_place_in_the_queue() -> None:
    """A guard sees what was submitted before it, and nothing that was submitted after."""
    log = MemoryLog()
    seen: list[list[str]] = []

    def guard(entries: Sequence[StoredEntry], _now: datetime) -> Draft:
        seen.append([entry.event_id for entry in entries])
        return one(5)

    async with running(log) as appender:
        await asyncio.gather(
            appender.append([one(0), one(1)]),
            appender.append_guarded("call/c1", guard),
            appender.append([one(2)]),
        )
    assert seen == [[one(0).event_id, one(1).event_id]]
    assert [entry.event_id for entry in log.entries] == [one(n).event_id for n in (0, 1, 5, 2)]


async def test_a_full_queue_is_said_at_once() -> None:
    """More than may wait is refused whole, and nothing of it is written."""
    log = MemoryLog()
    async with running(log, capacity=3) as appender:
        with pytest.raises(Overloaded):
            await appender.append([one(n) for n in range(4)])
        await appender.append([one(9)])
    assert [entry.event_id for entry in log.entries] == [one(9).event_id]


async def test_a_store_that_is_down_is_said_in_time() -> None:
    """Callers are told that the outcome is unknown; later appends succeed."""
    log = MemoryLog()
    log.down = True
    async with running(log, patience=0.05) as appender:
        outcomes = await asyncio.gather(
            *(appender.append([one(n)]) for n in range(3)), return_exceptions=True
        )
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        log.down = False
        await appender.append([one(7)])
    assert_whole(log)


def test_recorded_at_never_falls() -> None:
    """A clock that goes back does not show in the log."""
    later = datetime(2026, 1, 1, tzinfo=UTC)
    head = Head(4, later)
    entry = assemble(head, {"call/c1": 2}, [one(0)], later - timedelta(hours=1))[0]
    assert entry.read().recorded_at == later
    assert (entry.index, entry.seq) == (5, 2)
