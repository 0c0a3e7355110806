"""The use case: play what is owed to each party, grade it, and enter the fact before answering."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from onrecord.announcement.domain.grade import NotTold, PlayReport, Told, grade
from onrecord.announcement.domain.plan import NoPrompt, Obligation, plan
from onrecord.announcement.domain.prompt import Prompt
from onrecord.contracts.event import Event, call_event, parse_time
from onrecord.contracts.events import Grade, NoticeFailed, NoticeGiven, NoticeSpan, Position
from onrecord.platform.errors import InvalidInput, Overloaded
from onrecord.platform.telemetry import get_logger, meter

log = get_logger()
notices = meter().create_counter("onrecord_notices", description="notices by outcome")

MAX_RUNNING = 2000
"""Announcements in work at once; more are refused, because each holds its plays open."""

MAX_REMEMBERED = 4096
"""Announcements that a retry can still join or be answered from."""


class PlayFailed(Exception):
    """There is no play report; `reason` is a closed slug. The party may have heard something."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Player(Protocol):
    """What plays prompts."""

    async def play(
        self, address: str, call: str, notice_id: str, leg: str, prompt: Prompt
    ) -> PlayReport:
        """Play to the end and return the report; raise PlayFailed when there is none.

        Idempotent by notice id and leg.
        """


class FactStore(Protocol):
    """Where facts are committed."""

    async def commit(self, event: Event) -> None:
        """Return when the fact is in the log. Raises Unavailable when that is not known."""


@dataclass(frozen=True)
class Announcement:
    """One attempt to inform the parties of a call. No two obligations may share a leg."""

    call: str
    attempt: int
    media_address: str
    obligations: tuple[Obligation, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of one obligation, as committed: `grade` when given, else `reason`."""

    obligation: Obligation
    event_id: str
    grade: Grade | None
    reason: str
    received: Position | None


@dataclass(frozen=True)
class _Attempt:
    announcement: Announcement
    task: asyncio.Task[tuple[Outcome, ...]]


class Announcer:
    """Carries out announcements: all legs at once, each fact committed before the reply.

    An announcement runs on when its caller goes away, as the plays do; a repeat of the attempt
    joins it or gets its outcome. After a restart the recorder (by notice id) and the ledger (by
    event id) answer a repeat as they did before.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        player: Player,
        facts: FactStore,
        now: Callable[[], datetime],
    ) -> None:
        """`prompts` are the approved ones; `now` dates the facts that no play report dates."""
        self._prompts = prompts
        self._player = player
        self._facts = facts
        self._now = now
        self._attempts: dict[tuple[str, int], _Attempt] = {}
        self._running = 0

    async def announce(self, wanted: Announcement) -> tuple[Outcome, ...]:
        """Inform the parties; the outcomes stand in the order of the obligations.

        Raises Overloaded; InvalidInput when the attempt's number was used for something else;
        Unavailable when the ledger does not answer: the notices may then be committed or not, and
        the same request finds out.
        """
        key = (wanted.call, wanted.attempt)
        attempt = self._attempts.get(key) or self._begin(key, wanted)
        if attempt.announcement != wanted:
            raise InvalidInput("attempt_reused", "a new announcement takes the next attempt number")
        return await asyncio.shield(attempt.task)

    async def finish(self) -> None:
        """Wait for the announcements in work."""
        tasks = [attempt.task for attempt in self._attempts.values()]
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: tuple[str, int], wanted: Announcement) -> _Attempt:
        if self._running >= MAX_RUNNING:
            raise Overloaded("announcements_full", f"{MAX_RUNNING} are in work")
        task = asyncio.create_task(self._carry_out(wanted), name=f"announcement {wanted.call}")
        attempt = self._attempts[key] = _Attempt(wanted, task)
        self._running += 1
        task.add_done_callback(lambda done: self._end(key, done))
        return attempt

    def _end(self, key: tuple[str, int], task: asyncio.Task[tuple[Outcome, ...]]) -> None:
        self._running -= 1
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error:
            # Without an outcome there is nothing to answer a repeat with: it must try again.
            log.warning("announcement without outcome", call=key[0], error=repr(error))
            del self._attempts[key]
        while len(self._attempts) - self._running > MAX_REMEMBERED:
            del self._attempts[next(k for k, a in self._attempts.items() if a.task.done())]

    async def _carry_out(self, wanted: Announcement) -> tuple[Outcome, ...]:
        return tuple(
            await asyncio.gather(*(self._inform(wanted, owed) for owed in wanted.obligations))
        )

    async def _inform(self, wanted: Announcement, owed: Obligation) -> Outcome:
        chosen = plan(owed, self._prompts)
        if isinstance(chosen, NoPrompt):
            return await self._not_told(wanted, owed, None, chosen.reason, None)
        notice_id = f"{wanted.call}:notice:{owed.leg}:{wanted.attempt}"
        try:
            report = await self._player.play(
                wanted.media_address, wanted.call, notice_id, owed.leg, chosen
            )
        except PlayFailed as error:
            return await self._not_told(wanted, owed, chosen, error.reason, None)
        match grade(report, chosen):
            case NotTold(reason):
                return await self._not_told(wanted, owed, chosen, reason, report)
            case Told(proved):
                return await self._told(wanted, owed, chosen, proved, report)

    async def _told(
        self,
        wanted: Announcement,
        owed: Obligation,
        prompt: Prompt,
        proved: Grade,
        report: PlayReport,
    ) -> Outcome:
        fact = NoticeGiven(
            party=owed.party,
            method="prompt",
            notice=prompt.id,
            version=str(prompt.version),
            language=prompt.language,
            acts=tuple(sorted(prompt.acts)),
            purposes=tuple(sorted(prompt.purposes)),
            prompt_sha256=prompt.sha256,
            grade=proved,
            span=_span(report),
        )
        discriminator = f"{owed.leg}:{wanted.attempt}"
        event = call_event(wanted.call, fact, parse_time(report.ended_at), discriminator)
        await self._facts.commit(event)
        notices.add(1, {"party": owed.party, "outcome": proved, "prompt": prompt.id})
        return Outcome(owed, event.event_id, proved, "", report.received)

    async def _not_told(
        self,
        wanted: Announcement,
        owed: Obligation,
        prompt: Prompt | None,
        reason: str,
        report: PlayReport | None,
    ) -> Outcome:
        fact = NoticeFailed(
            party=owed.party,
            method="prompt",
            notice=prompt.id if prompt else "",
            version=str(prompt.version) if prompt else "",
            reason=reason,
            span=_span(report) if report and report.packets else None,
        )
        event = call_event(wanted.call, fact, self._now(), f"{owed.leg}:{wanted.attempt}")
        await self._facts.commit(event)
        log.warning("notice failed", call=wanted.call, party=owed.party, reason=reason)
        notices.add(1, {"party": owed.party, "outcome": reason, "prompt": fact.notice})
        return Outcome(owed, event.event_id, None, reason, None)


def _span(report: PlayReport) -> NoticeSpan:
    """What was sent is a leg of its own: the service's voice towards the party."""
    return NoticeSpan(
        leg="service-caller" if report.leg == "caller" else "service-agent",
        ssrc=report.ssrc,
        first_sequence=report.first_sequence,
        last_sequence=report.last_sequence,
        octets=report.octets,
        payload_sha256=report.payload_sha256,
        received=report.received,
        started_at=report.started_at,
        ended_at=report.ended_at,
    )
