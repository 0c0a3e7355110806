"""The watcher of calls on a log in memory: what it states, forgets, notes and reads again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ledgers import fact, stored, told_call
from onrecord.consent_ledger import verdicts as module
from onrecord.consent_ledger.appender import Appender
from onrecord.consent_ledger.domain.entries import draft, sealing_keys
from onrecord.consent_ledger.ports import Followed
from onrecord.consent_ledger.settings import LedgerSettings
from onrecord.consent_ledger.verdicts import Verdicts
from onrecord.contracts.event import Event
from unit.consent_ledger.memory_log import MemoryLog

STARTED = fact("c1", "recording.started", discriminator="c1:p0")
ENDED = fact("c1", "call.ended")
FAILED = fact("c1", "recording.failed", {"cause": "spool_unwritable"})
STORED = stored("c1", "c1:p0")


class MemoryPosition:
    """The note of a position in memory."""

    def __init__(self) -> None:
        self.noted = Followed(0, frozenset())

    async def load(self) -> Followed:
        """What was noted."""
        return self.noted

    async def save(self, followed: Followed) -> None:
        """Note it."""
        self.noted = followed


class Scene:
    """A log, a position, and ledgers that work on them one after the other."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.position = MemoryPosition()

    def enter(self, events: Sequence[Event]) -> None:
        """Have facts committed by another appender."""
        for event in events:
            secrets = dict.fromkeys(sealing_keys(event).values(), bytes(32))
            self.log.append(draft(event, secrets, bytes))

    @asynccontextmanager
    async def ledger(self, **settings: Any) -> AsyncIterator[Verdicts]:
        """A ledger at work while the context lasts."""
        appender = Appender(self.log, capacity=100, patience=5)
        told = LedgerSettings(
            mongo="mongodb://nowhere", permit_private_key=Path("none"), **settings
        )
        verdicts = Verdicts(self.log, self.position, appender, told)
        tasks = [asyncio.create_task(run()) for run in (appender.run, verdicts.run)]
        yield verdicts
        for task in tasks:
            task.cancel()

    def said(self, call: str = "c1") -> list[tuple[str, str]]:
        """Event id and verdict of all that was said of a call, in order."""
        return [
            (entry.event_id, entry.read().fields["verdict"])
            for entry in self.log.entries
            if entry.type.startswith("call.verdict") and entry.call == call
        ]

    async def until_said(self, number: int, call: str = "c1") -> None:
        """Wait until so many verdicts stand."""
        async with asyncio.timeout(10):
            while len(self.said(call)) < number:
                await asyncio.sleep(0.001)  # The log can only be asked.


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """An empty log; rounds are short."""
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.005)
    monkeypatch.setattr(module, "NOTE_SECONDS", 0.0)
    return Scene()


async def test_what_is_stored_after_the_verdict_amends_it_once(scene: Scene) -> None:
    """A recorder that gave up and stores later: failed first, then what is kept."""
    scene.enter([*told_call("c1"), STARTED, FAILED, ENDED])
    async with scene.ledger():
        await scene.until_said(1)
        scene.enter([STORED])
        await scene.until_said(2)
        # A third would have come with the verdict of a call that ends behind it.
        scene.enter([*told_call("c2")[:3], fact("c2", "call.ended", {"gate": "notice_failed"})])
        await scene.until_said(1, "c2")
    assert scene.said() == [
        ("c1:call.verdict", "failed"),
        ("c1:call.verdict_amended:1", "partly_recorded"),
    ]
    amended = [one for one in scene.log.entries if one.type == "call.verdict_amended"]
    assert amended[0].read().fields["amends"] == "c1:call.verdict"


async def test_a_recording_that_is_never_stored_gets_its_verdict(scene: Scene) -> None:
    """After the wait it failed, by a cause of its own; stored after all, it is recorded."""
    scene.enter([*told_call("c1"), STARTED, ENDED])
    async with scene.ledger(recorder_silence=0.05):
        await scene.until_said(1)
        scene.enter([STORED])
        await scene.until_said(2)
    causes = [
        one.read().fields.get("causes")
        for one in scene.log.entries
        if one.type.startswith("call.verdict")
    ]
    assert scene.said()[1] == ("c1:call.verdict_amended:1", "recorded")
    assert causes == [["not_stored"], []]


async def test_two_ledgers_say_a_finding_once(scene: Scene) -> None:
    """Both watch the same log, and only one entry stands for each change."""
    scene.enter([*told_call("c1"), STARTED, FAILED, ENDED])
    async with scene.ledger(), scene.ledger():
        await scene.until_said(1)
        scene.enter([STORED])
        await scene.until_said(2)
        scene.enter([*told_call("c2")[:3], fact("c2", "call.ended", {"gate": "notice_failed"})])
        await scene.until_said(1, "c2")
    assert len(scene.said()) == 2


async def test_a_finding_that_came_while_no_ledger_ran_is_said(scene: Scene) -> None:
    """A restarted ledger reads on from its note and takes settled calls up again."""
    scene.enter([*told_call("c1"), STARTED, FAILED, ENDED])
    async with scene.ledger():
        await scene.until_said(1)
        await noted(scene, len(scene.log.entries))
    assert scene.position.noted.open_calls == frozenset()
    scene.enter([STORED])
    async with scene.ledger():
        await scene.until_said(2)


async def test_a_restarted_ledger_reads_open_calls_and_nothing_twice(scene: Scene) -> None:
    """The note holds the open calls, also those that stay silent; nothing else is read again."""
    settled = [*told_call("c1")[:3], fact("c1", "call.ended", {"gate": "notice_failed"})]
    scene.enter([*settled, *told_call("c2")])
    async with scene.ledger():
        await scene.until_said(1)
        await noted(scene, len(scene.log.entries))
    assert scene.position.noted.open_calls == {"c2"}
    pages: list[int] = []
    streams: list[str] = []
    page, stream = scene.log.page, scene.log.stream

    async def counted_page(index: int, limit: int) -> Any:
        pages.append(index)
        return await page(index, limit)

    async def counted_stream(name: str, limit: int = 0, from_seq: int = 0) -> Any:
        streams.append(name)
        return await stream(name, limit, from_seq)

    scene.log.page, scene.log.stream = counted_page, counted_stream  # type: ignore[method-assign]
    async with scene.ledger(keepalive_silence=0.05):
        await scene.until_said(1, "c2")
    assert min(pages) >= len(settled) + len(told_call("c2"))
    assert set(streams) == {"call/c2"}


async def test_a_note_from_beyond_the_log_is_not_followed(scene: Scene) -> None:
    """A log that was brought back shorter than its note is read from the beginning."""
    scene.position.noted = Followed(1000, frozenset())
    scene.enter([*told_call("c1")[:3], fact("c1", "call.ended", {"gate": "notice_failed"})])
    async with scene.ledger():
        await scene.until_said(1)


async def test_a_call_that_nobody_answers_or_ends_is_forgotten(scene: Scene) -> None:
    """It is in no note any more; answered late, it is taken up again."""
    scene.enter(told_call("c1")[:2])
    async with scene.ledger(keepalive_silence=0.05):
        async with asyncio.timeout(10):
            while not scene.position.noted.next_index or "c1" in scene.position.noted.open_calls:
                # A note is written when the log has grown.
                scene.enter([fact("c2", "recording.failed", None, str(len(scene.log.entries)))])
                await asyncio.sleep(0.01)
        assert not scene.said()
        scene.enter([*told_call("c1")[2:3], fact("c1", "call.ended", {"gate": "notice_failed"})])
        await scene.until_said(1)


async def test_a_ledger_that_stood_still_judges_no_running_call(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour in which nobody listened is no silence; a minute in which somebody did is."""
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    scene.enter(told_call("c1"))
    async with scene.ledger():
        await noted(scene, len(scene.log.entries))
        now += 3600
        scene.enter([*told_call("c2")[:3], fact("c2", "call.ended", {"gate": "notice_failed"})])
        await scene.until_said(1, "c2")
        assert not scene.said()
        async with asyncio.timeout(10):
            while not scene.said():
                now += 1
                await asyncio.sleep(0.006)  # A round.
    assert now > 3600 + 50


async def noted(scene: Scene, index: int) -> None:
    """Wait until the position is noted at an index or beyond."""
    async with asyncio.timeout(10):
        while scene.position.noted.next_index < index:
            await asyncio.sleep(0.001)  # The note can only be asked.
