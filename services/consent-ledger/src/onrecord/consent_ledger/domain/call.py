"""The fold of one call's stream: what its committed facts say so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from onrecord.consent_ledger.domain.entries import StoredEntry
from onrecord.contracts import events
from onrecord.contracts.event import parse_time
from onrecord.contracts.fact import Fact
from onrecord.contracts.registry import FACTS
from onrecord.policy import Notice


@dataclass(frozen=True, slots=True)
class GivenNotice:
    """A committed notice with the party's received position when it ended."""

    event_id: str
    fact: events.NoticeGiven

    def as_evidence(self) -> Notice:
        """The notice as policy judges it."""
        return Notice(
            event_id=self.event_id,
            party=self.fact.party,
            method=self.fact.method,
            language=self.fact.language,
            grade=self.fact.grade,
            acts=frozenset(self.fact.acts),
            purposes=frozenset(self.fact.purposes),
        )


@dataclass(frozen=True, slots=True)
class Call:
    """All that the ledger needs to know of a call, to permit it and to judge it.

    `present` are the parties in the call now, `objections` those who said no and did not take it
    back. `notices` are all that were given, `evidence` those that count: they were played to the
    party's own ear, or stated of a recording session, in which we can play nothing; and nobody came
    in that party's place since. `streams` are the legs in which the client sends now. `verdict` is
    the latest of `verdict_ids`; `news` says that facts came in after it. Facts may come in any
    order between services; within one service they come in order.
    """

    id: str
    event_ids: frozenset[str] = frozenset()
    streams: tuple[events.Leg, ...] = ()
    started: events.CallStarted | None = None
    started_at: datetime | None = None
    decided: events.PolicyDecided | None = None
    answered: bool = False
    present: frozenset[str] = frozenset()
    notices: tuple[GivenNotice, ...] = ()
    evidence: tuple[GivenNotice, ...] = ()
    notice_failures: tuple[str, ...] = ()
    objections: frozenset[str] = frozenset()
    relied_on: frozenset[str] = frozenset()
    refusals: tuple[str, ...] = ()
    recording_started: bool = False
    pauses: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    units: tuple[events.StoredUnit, ...] = ()
    stored_all: bool = False
    recording_failures: tuple[str, ...] = ()
    ended: events.CallEnded | None = None
    verdict: events.CallVerdict | None = None
    verdict_ids: tuple[str, ...] = ()
    news: bool = False

    @property
    def told_purposes(self) -> frozenset[str]:
        """The purposes that every party who was given notice was told of."""
        told: dict[str, frozenset[str]] = {}
        for notice in self.notices:
            party = notice.fact.party
            told[party] = told.get(party, frozenset()).union(notice.fact.purposes)
        return frozenset.intersection(*told.values()) if told else frozenset()


def fold(call_id: str, entries: Iterable[StoredEntry]) -> Call:
    """Fold a call's entries, in the order of their seq."""
    call = Call(call_id)
    for entry in entries:
        call = apply(call, entry)
    return call


def apply(call: Call, entry: StoredEntry) -> Call:
    """Take one more entry into account; entries of types that say nothing here change little."""
    content = entry.read()
    call = replace(call, event_ids=call.event_ids | {entry.event_id})
    fact_class = FACTS.get(entry.type)
    if fact_class is None or entry.type not in _APPLY:
        return call
    fact = fact_class.model_validate(dict(content.fields))
    if isinstance(fact, events.CallVerdict):
        ids = (*call.verdict_ids, entry.event_id)
        return replace(call, verdict=fact, verdict_ids=ids, news=False)
    call = replace(call, news=True)
    if isinstance(fact, events.CallStarted):
        return replace(call, started=fact, started_at=content.time)
    if isinstance(fact, events.NoticeGiven):
        return _told(call, GivenNotice(entry.event_id, fact))
    return _apply_fact(call, fact)


_APPLY = frozenset(
    {
        "call.started",
        "policy.decided",
        "session.described",
        "call.answered",
        "party.joined",
        "party.left",
        "notice.given",
        "notice.failed",
        "objection.made",
        "consent.given",
        "consent.refused",
        "consent.withdrawn",
        "permit.issued",
        "permit.refused",
        "recording.started",
        "recording.paused",
        "recording.gap",
        "recording.stored",
        "recording.failed",
        "call.ended",
        "call.verdict",
        "call.verdict_amended",
    }
)

_VERDICTS = frozenset({"call.verdict", "call.verdict_amended"})


def is_news(event_type: str) -> bool:
    """Whether an entry of this type can change what is said of a call."""
    return event_type in _APPLY - _VERDICTS


def _told(call: Call, notice: GivenNotice) -> Call:
    evidence = call.evidence
    span = notice.fact.span
    if span is None:
        counts = call.started is not None and call.started.session == "recording"
    else:
        counts = span.leg == f"service-{notice.fact.party}"
    if counts:
        evidence = (*evidence, notice)
    return replace(call, notices=(*call.notices, notice), evidence=evidence)


def _apply_fact(call: Call, fact: Fact) -> Call:  # noqa: C901, PLR0912 — one case per event
    match fact:
        case events.PolicyDecided():
            return replace(call, decided=fact)
        case events.SessionDescribed():
            live = tuple(stream.leg for stream in fact.streams if not stream.is_paused)
            return replace(call, streams=live)
        case events.CallAnswered():
            parties = frozenset(leg.party for leg in fact.legs)
            return replace(call, answered=True, present=call.present | parties)
        case events.PartyLeft():
            return replace(call, present=call.present - {fact.party})
        case events.PartyJoined():
            # Somebody else: what the one before was told, this one was not.
            others = tuple(one for one in call.evidence if one.fact.party != fact.party)
            return replace(call, present=call.present | {fact.party}, evidence=others)
        case events.NoticeFailed():
            return replace(call, notice_failures=(*call.notice_failures, fact.reason))
        case events.ObjectionMade() | events.ConsentRefused() | events.ConsentWithdrawn():
            return replace(call, objections=call.objections | {fact.party})
        case events.ConsentGiven():
            return replace(call, objections=call.objections - {fact.party})
        case events.PermitIssued():
            return replace(call, relied_on=call.relied_on | frozenset(fact.relied_on))
        case events.PermitRefused():
            return replace(call, refusals=(*call.refusals, fact.reason))
        case events.RecordingStarted():
            return replace(call, recording_started=True)
        case events.RecordingPaused():
            return replace(call, pauses=(*call.pauses, fact.cause))
        case events.RecordingGap():
            return replace(call, gaps=(*call.gaps, fact.cause))
        case events.RecordingStored():
            units = (*call.units, *fact.units)
            return replace(call, units=units, stored_all=call.stored_all or fact.final)
        case events.RecordingFailed():
            return replace(call, recording_failures=(*call.recording_failures, fact.cause))
        case events.CallEnded():
            return replace(call, ended=fact, answered=call.answered or fact.answered)
    return call


def kept_seconds(units: Iterable[events.StoredUnit]) -> dict[str, float]:
    """Seconds kept per leg, by the units' own first and last arrival."""
    total: dict[str, float] = {}
    for unit in units:
        span = parse_time(unit.ended_at) - parse_time(unit.started_at)
        total[unit.leg] = round(total.get(unit.leg, 0.0) + span.total_seconds(), 3)
    return total
