"""The announcer: all legs at once, each fact committed before the reply, repeats harmless."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from onrecord.announcement import announcer as module
from onrecord.announcement.announcer import Announcement, Announcer, PlayFailed
from onrecord.announcement.domain.grade import PlayReport
from onrecord.announcement.domain.prompt import Prompt
from onrecord.contracts.event import Event
from onrecord.contracts.events import NoticeFailed, NoticeGiven, Position
from onrecord.platform.errors import InvalidInput, Overloaded, Unavailable
from unit.announcement.factories import a_prompt, a_report, an_obligation

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DEADLINE = 5
PROMPTS = (a_prompt(), a_prompt(id="recorded-agent", party="agent"))
BOTH = Announcement(
    "c1",
    0,
    "127.0.0.1:1",
    (an_obligation(), an_obligation(party="agent", leg="agent")),
)


@dataclass
class ScriptedPlayer:
    """Plays at once, or when the test says so; remembers what it was asked."""

    faults: dict[str, str] = field(default_factory=dict)
    changes: dict[str, object] = field(default_factory=dict)
    hold: asyncio.Event | None = None
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    all_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def play(
        self, address: str, call: str, notice_id: str, leg: str, prompt: Prompt
    ) -> PlayReport:
        """Play as scripted."""
        self.asked.append((address, call, notice_id, leg))
        if len(self.asked) == 2:
            self.all_asked.set()
        if self.hold:
            await self.hold.wait()
        if leg in self.faults:
            raise PlayFailed(self.faults[leg])
        return a_report(notice_id=notice_id, leg=leg, **self.changes)


@dataclass
class MemoryFacts:
    """Commits by event id, as the ledger does; the first `down` commits fail."""

    down: int = 0
    events: dict[str, Event] = field(default_factory=dict)

    async def commit(self, event: Event) -> None:
        """Keep the first event of each id."""
        if self.down:
            self.down -= 1
            raise Unavailable("ledger_unavailable")
        self.events.setdefault(event.event_id, event)


def an_announcer(player: ScriptedPlayer, facts: MemoryFacts) -> Announcer:
    """An announcer with one prompt for each party."""
    return Announcer(PROMPTS, player, facts, lambda: NOW)


async def test_both_parties_are_told_and_the_facts_name_what_was_sent() -> None:
    """The facts carry prompt, words, grade and the span with the received position."""
    received = Position(ssrc=9, sequence=70000, timestamp=480)
    player, facts = ScriptedPlayer(changes={"received": received}), MemoryFacts()
    outcomes = await an_announcer(player, facts).announce(BOTH)
    assert [outcome.event_id for outcome in outcomes] == [
        "c1:notice.given:caller:0",
        "c1:notice.given:agent:0",
    ]
    assert [(outcome.grade, outcome.received) for outcome in outcomes] == [("B", received)] * 2
    event = facts.events["c1:notice.given:agent:0"]
    assert isinstance(event.fact, NoticeGiven)
    assert (event.stream, event.call, event.time) == ("call/c1", "c1", a_report().ended_at)
    assert event.fact.span.leg == "service-agent"
    assert event.fact.span.received == received
    assert (event.fact.notice, event.fact.acts, event.fact.purposes) == (
        "recorded-agent",
        ("recorded",),
        ("quality",),
    )


async def test_the_legs_are_played_at_the_same_time() -> None:
    """Neither party waits for the other's prompt to end."""
    player = ScriptedPlayer(hold=asyncio.Event())
    announcing = asyncio.create_task(an_announcer(player, MemoryFacts()).announce(BOTH))
    async with asyncio.timeout(DEADLINE):
        await player.all_asked.wait()
    assert {leg for *_, leg in player.asked} == {"caller", "agent"}
    assert player.hold is not None
    player.hold.set()
    await announcing


async def test_a_leg_that_fails_does_not_touch_the_other() -> None:
    """One notice.given and one notice.failed with the recorder's reason."""
    player, facts = ScriptedPlayer(faults={"agent": "media_timeout"}), MemoryFacts()
    given, failed = await an_announcer(player, facts).announce(BOTH)
    assert given.grade == "B"
    assert (failed.event_id, failed.grade, failed.reason) == (
        "c1:notice.failed:agent:0",
        None,
        "media_timeout",
    )
    fact = facts.events["c1:notice.failed:agent:0"].fact
    assert isinstance(fact, NoticeFailed)
    assert (fact.notice, fact.span) == ("recorded-agent", None)


async def test_half_a_prompt_is_no_notice_and_its_span_is_kept() -> None:
    """The fact says what was sent before the player died."""
    player = ScriptedPlayer(
        changes={"complete": False, "reason": "leg_closed", "packets": 1, "last_sequence": 65534}
    )
    facts = MemoryFacts()
    await an_announcer(player, facts).announce(BOTH)
    fact = facts.events["c1:notice.failed:caller:0"].fact
    assert isinstance(fact, NoticeFailed)
    assert fact.reason == "leg_closed"
    assert fact.span is not None


async def test_an_obligation_that_no_prompt_fulfils_is_a_fact_and_nothing_is_played() -> None:
    """The wrong language is never played instead."""
    player, facts = ScriptedPlayer(), MemoryFacts()
    wanted = Announcement("c1", 0, "127.0.0.1:1", (an_obligation(language="cy-GB"),))
    (outcome,) = await an_announcer(player, facts).announce(wanted)
    assert outcome.reason == "no_prompt_in_language"
    assert player.asked == []
    assert list(facts.events) == ["c1:notice.failed:caller:0"]


async def test_a_repeat_gets_the_same_outcome_without_a_second_play() -> None:
    """A caller that lost the reply asks again."""
    player, facts = ScriptedPlayer(), MemoryFacts()
    announcer = an_announcer(player, facts)
    assert await announcer.announce(BOTH) == await announcer.announce(BOTH)
    assert len(player.asked) == 2


async def test_the_announcement_runs_on_when_its_caller_goes_away() -> None:
    """The prompt plays on at the recorder; its fact must not be lost."""
    player, facts = ScriptedPlayer(hold=asyncio.Event()), MemoryFacts()
    announcer = an_announcer(player, facts)
    announcing = asyncio.create_task(announcer.announce(BOTH))
    async with asyncio.timeout(DEADLINE):
        await player.all_asked.wait()
    announcing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await announcing
    assert player.hold is not None
    player.hold.set()
    await announcer.finish()
    assert set(facts.events) == {"c1:notice.given:caller:0", "c1:notice.given:agent:0"}
    await announcer.announce(BOTH)
    assert len(player.asked) == 2


async def test_without_the_ledger_there_is_no_outcome_and_a_repeat_tries_again() -> None:
    """Nothing is answered that is not committed; the same notice ids are used again."""
    player, facts = ScriptedPlayer(), MemoryFacts(down=2)
    announcer = an_announcer(player, facts)
    with pytest.raises(Unavailable):
        await announcer.announce(BOTH)
    await announcer.finish()
    assert [outcome.grade for outcome in await announcer.announce(BOTH)] == ["B", "B"]
    assert len(set(player.asked)) == 2


async def test_an_attempt_number_belongs_to_one_announcement() -> None:
    """Another announcement under the same number would make two notices one."""
    announcer = an_announcer(ScriptedPlayer(), MemoryFacts())
    await announcer.announce(BOTH)
    other = Announcement("c1", 0, "127.0.0.1:1", (an_obligation(),))
    with pytest.raises(InvalidInput):
        await announcer.announce(other)


async def test_more_announcements_than_the_bound_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Overload is an error at once, not a queue."""
    monkeypatch.setattr(module, "MAX_RUNNING", 1)
    player = ScriptedPlayer(hold=asyncio.Event())
    announcer = an_announcer(player, MemoryFacts())
    announcing = asyncio.create_task(announcer.announce(BOTH))
    async with asyncio.timeout(DEADLINE):
        await player.all_asked.wait()
    with pytest.raises(Overloaded):
        await announcer.announce(Announcement("c2", 0, "127.0.0.1:1", (an_obligation(),)))
    assert player.hold is not None
    player.hold.set()
    await announcing


async def test_no_more_finished_announcements_are_remembered_than_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The oldest is forgotten; the recorder and the ledger still know its ids."""
    monkeypatch.setattr(module, "MAX_REMEMBERED", 1)
    player = ScriptedPlayer()
    announcer = an_announcer(player, MemoryFacts())
    for call in ("c1", "c2", "c3"):
        await announcer.announce(Announcement(call, 0, "127.0.0.1:1", (an_obligation(),)))
    await announcer.announce(Announcement("c3", 0, "127.0.0.1:1", (an_obligation(),)))
    assert len(player.asked) == 3
    await announcer.announce(Announcement("c1", 0, "127.0.0.1:1", (an_obligation(),)))
    assert len(player.asked) == 4
