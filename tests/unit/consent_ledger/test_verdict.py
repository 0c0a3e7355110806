"""Verdicts: when one is due, and which, for every way a call can go."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import NOON, fact, stored, told_call
from onrecord.consent_ledger.domain.call import Call, fold
from onrecord.consent_ledger.domain.entries import Head, assemble, draft, sealing_keys
from onrecord.consent_ledger.domain.verdict import conclude, is_due, is_settled, judge
from onrecord.contracts.event import Event, call_event
from onrecord.contracts.events import CallVerdictAmended


def call_of(events: Sequence[Event]) -> Call:
    """Fold events as if they were committed in this order."""
    drafts = [
        draft(one, dict.fromkeys(sealing_keys(one).values(), bytes(32)), bytes) for one in events
    ]
    return fold("c1", assemble(Head(-1, None), {"call/c1": 0}, drafts, NOON))


def event(event_type: str, discriminator: str = "", **fields: Any) -> Event:
    """A fact of call c1."""
    return fact("c1", event_type, fields, discriminator)


TOLD = told_call("c1")
PERMIT = event(
    "permit.issued", "0", relied_on=["c1:notice.given:caller:0", "c1:notice.given:agent:0"]
)
STARTED = event("recording.started", "c1:p0")
ENDED = event("call.ended")
STORED = stored("c1", "c1:p0")
SOME_STORED = event("recording.stored", "1:1", units=STORED.fact.units[:1], final=False)
NOTHING_STORED = event("recording.stored", "1:0", units=[], unit_count=0)
GAP = event("recording.gap", "caller:1:0", cause="spool_full")
FAILED = event("recording.failed", cause="object_conflict")
VERDICT = event("call.verdict")


def ended(gate: str) -> Event:
    """The end of a call whose gate stayed shut."""
    return event("call.ended", gate=gate)


@pytest.mark.parametrize(
    ("events", "verdict", "causes", "rule"),
    [
        ([*TOLD, PERMIT, STARTED, ENDED, STORED], "recorded", (), ""),
        ([*TOLD, PERMIT, STARTED, STORED, ENDED], "recorded", (), ""),
        ([*TOLD, PERMIT, STARTED, GAP, GAP, ENDED, STORED], "partly_recorded", ("spool_full",), ""),
        (
            [*TOLD, PERMIT, STARTED, ENDED, STORED, FAILED],
            "partly_recorded",
            ("object_conflict",),
            "",
        ),
        ([*TOLD, PERMIT, STARTED, ENDED, FAILED], "failed", ("object_conflict",), ""),
        ([*TOLD, PERMIT, STARTED, ENDED, NOTHING_STORED], "failed", ("nothing_kept",), ""),
        (
            [*TOLD, PERMIT, STARTED, event("recording.paused", "c1:p0"), ENDED, STORED],
            "partly_recorded",
            ("card_data",),
            "",
        ),
        (
            [*TOLD, PERMIT, STARTED, event("objection.made", "0"), ENDED, STORED],
            "partly_recorded",
            ("objection",),
            "",
        ),
        (
            [*TOLD, event("objection.made", "0"), ended("permit_refused")],
            "not_recorded",
            (),
            "objection",
        ),
        (
            [*TOLD, event("consent.withdrawn", "0"), ended("not_asked")],
            "not_recorded",
            (),
            "objection",
        ),
        (
            [TOLD[0], event("policy.decided", may_record=False), TOLD[2], ended("not_asked")],
            "not_recorded",
            (),
            "uk/1",
        ),
        (
            [*TOLD, event("permit.refused", "0", reason="no_own_party"), ended("permit_refused")],
            "not_recorded",
            (),
            "no_own_party",
        ),
        (
            [*TOLD, event("permit.refused", "0"), ended("permit_refused")],
            "failed",
            ("permit_refused", "party_not_told"),
            "",
        ),
        (
            [*TOLD[:4], event("notice.failed", "agent:0"), ended("notice_failed")],
            "failed",
            ("notice_failed", "leg_closed"),
            "",
        ),
        ([*TOLD[:3], ended("media_unavailable")], "failed", ("media_unavailable",), ""),
        ([*TOLD[:3], ended("call_ended")], "failed", ("call_ended",), ""),
        (
            [*TOLD[:4], event("notice.failed", "agent:0"), ended("call_ended")],
            "failed",
            ("call_ended", "leg_closed"),
            "",
        ),
        (
            [*TOLD[:3], event("call.ended", gate="call_ended", cause="signalling_lost")],
            "failed",
            ("signalling_lost",),
            "",
        ),
        (
            [*TOLD[:3], event("call.ended", gate="notice_failed", cause="signalling_lost")],
            "failed",
            ("notice_failed",),
            "",
        ),
        (
            [*TOLD, PERMIT, STARTED, event("call.ended", cause="signalling_lost"), STORED],
            "partly_recorded",
            ("signalling_lost",),
            "",
        ),
        ([*TOLD, PERMIT, ENDED], "failed", ("recorder_silent",), ""),
        ([*TOLD, PERMIT, STARTED, ENDED], "failed", ("not_stored",), ""),
        ([*TOLD, PERMIT, STARTED, ENDED, SOME_STORED], "partly_recorded", ("not_stored",), ""),
        (
            [event("call.started", kind="emergency"), ended("not_asked")],
            "not_recorded",
            (),
            "emergency",
        ),
        (
            [event("call.started", kind="unrecorded", route="private"), ended("not_asked")],
            "not_recorded",
            (),
            "route/private",
        ),
    ],
)
def test_every_way_of_a_call_has_its_verdict(
    events: list[Event], verdict: str, causes: tuple[str, ...], rule: str
) -> None:
    """The verdict, its causes and its rule follow from the facts alone."""
    call = call_of(events)
    waited = causes in (("recorder_silent",), ("not_stored",))
    assert is_due(call, silent=waited, overdue=waited)
    judged = judge(call)
    assert (judged.verdict, judged.causes, judged.rule) == (verdict, causes, rule)


@pytest.mark.parametrize(
    ("events", "due", "due_if_silent"),
    [
        (TOLD[:2], False, False),
        (TOLD, False, True),
        ([*TOLD, PERMIT, STARTED], False, True),
        ([*TOLD, PERMIT, STARTED, ENDED], False, False),
        ([*TOLD, PERMIT, STARTED, STORED], False, True),
        ([*TOLD, PERMIT, ENDED], False, True),
        ([*TOLD, ended("permit_refused")], True, True),
        ([*TOLD, ended("call_ended")], True, True),
        ([*TOLD, PERMIT, ended("call_ended")], False, True),
        ([*TOLD, PERMIT, STARTED, ended("call_ended")], False, False),
        ([*TOLD, ENDED, event("call.verdict")], False, False),
        ([TOLD[0], event("call.ended", answered=False, sip_code=486)], False, False),
    ],
)
def test_a_verdict_comes_when_enough_is_known(
    events: list[Event], *, due: bool, due_if_silent: bool
) -> None:
    """The end is waited for, and the store of a recording; a silent worker is not."""
    call = call_of(events)
    assert is_due(call, silent=False, overdue=False) == due
    assert is_due(call, silent=True, overdue=False) == due_if_silent


@pytest.mark.parametrize(
    ("events", "due", "due_if_overdue"),
    [
        ([*TOLD, PERMIT, STARTED], False, False),
        ([*TOLD, PERMIT, STARTED, ENDED], False, True),
        ([*TOLD, PERMIT, STARTED, ENDED, SOME_STORED], False, True),
        ([*TOLD, PERMIT, STARTED, ENDED, FAILED], True, True),
        ([*TOLD, PERMIT, STARTED, ENDED, FAILED, VERDICT], False, False),
        ([*TOLD, PERMIT, STARTED, ENDED, FAILED, VERDICT, SOME_STORED], False, True),
        ([*TOLD, PERMIT, STARTED, ENDED, FAILED, VERDICT, SOME_STORED, STORED], True, True),
    ],
)
def test_the_rest_of_a_recording_is_not_waited_for_without_limit(
    events: list[Event], *, due: bool, due_if_overdue: bool
) -> None:
    """What was started and not stored is judged in the end; a drained spool is one finding."""
    call = call_of(events)
    assert is_due(call, silent=False, overdue=False) == due
    assert is_due(call, silent=False, overdue=True) == due_if_overdue


def test_a_later_finding_amends_what_was_said_last() -> None:
    """Stored after all: the new verdict names the old one, and is said once."""
    failed = [*TOLD, PERMIT, STARTED, ENDED, FAILED]
    first = fact("c1", "call.verdict", stated(failed))
    amended = conclude(call_of([*failed, first, STORED]))
    assert isinstance(amended, CallVerdictAmended)
    assert (amended.verdict, amended.causes) == ("partly_recorded", ("object_conflict",))
    assert amended.amends == "c1:call.verdict"
    second = fact("c1", "call.verdict_amended", amended.model_dump(mode="json"), "1")
    said = [*failed, first, STORED, second]
    assert is_settled(call_of(said))
    again = call_of([*said, event("recording.gap", "agent:1:0", cause="network")])
    finding = conclude(again)
    assert isinstance(finding, CallVerdictAmended)
    assert finding.amends == "c1:call.verdict_amended:1"


def test_a_fact_that_changes_nothing_is_no_finding() -> None:
    """A second gap with the same cause leaves the verdict as it is."""
    facts = [*TOLD, PERMIT, STARTED, ENDED, GAP, STORED]
    said = [*facts, fact("c1", "call.verdict", stated(facts))]
    late = call_of([*said, event("recording.gap", "agent:1:0", cause="spool_full")])
    assert is_due(late, silent=False, overdue=False)
    assert conclude(late) is None


def stated(events: Sequence[Event]) -> dict[str, Any]:
    """The fields of the verdict on these facts."""
    return judge(call_of(events)).model_dump(mode="json")


def test_a_call_that_was_never_answered_is_settled_without_a_verdict() -> None:
    """Busy, no answer or cancelled: there is nothing to judge."""
    assert is_settled(call_of([TOLD[0], event("call.ended", answered=False, sip_code=486)]))
    assert not is_settled(call_of(TOLD))


def test_a_lost_worker_is_a_cause() -> None:
    """Without an end, what is stored counts and the loss is named."""
    judged = judge(call_of([*TOLD, PERMIT, STARTED, STORED]))
    assert (judged.verdict, judged.causes) == ("partly_recorded", ("signalling_lost",))
    assert judge(call_of(TOLD)).causes == ("signalling_lost",)


def test_seconds_are_summed_per_leg_and_the_weakest_grade_counts() -> None:
    """Kept seconds come from the units; the grade is the weakest a permit relied on."""
    weak = fact("c1", "notice.given", {**TOLD[3].fact.model_dump(), "grade": "C"}, "caller:1")
    relied = ["c1:notice.given:caller:1", "c1:notice.given:agent:0"]
    more = event("recording.stored", "1:1", units=stored("c1", "c1:p0", 3.5).fact.units[:1])
    facts = [
        *TOLD,
        weak,
        event("permit.issued", "0", relied_on=relied),
        STARTED,
        more,
        ENDED,
        STORED,
    ]
    judged = judge(call_of(facts))
    assert judged.kept_seconds == {"caller": 60.5, "agent": 57.0}
    assert judged.weakest_grade == "C"


@given(st.permutations([*TOLD, PERMIT, STARTED, GAP, STORED, ENDED]))
def test_the_order_between_services_does_not_change_the_verdict(events: list[Event]) -> None:
    """Facts of several services may cross; the verdict is the same."""
    assert judge(call_of(events)) == judge(call_of([*TOLD, PERMIT, STARTED, GAP, STORED, ENDED]))


@settings(max_examples=15)
@given(
    st.permutations([*TOLD, PERMIT, STARTED, GAP, FAILED, SOME_STORED, STORED, ENDED]),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=13, max_size=13),
)
def test_in_the_end_the_latest_verdict_says_what_the_facts_say(
    facts: list[Event], waited: list[tuple[bool, bool]]
) -> None:
    """Whenever it was judged on the way: each change once, each naming the one before."""
    log: list[Event] = []
    for new, (silent, overdue) in zip(facts, waited, strict=False):
        log.append(new)
        state(log, silent=silent, overdue=overdue)
    state(log, silent=True, overdue=True)
    assert conclude(call_of(log)) is None
    said = [one for one in log if one.type.startswith("call.verdict")]
    final = said[-1].fact.model_dump(exclude={"amends"})
    assert final == judge(call_of(facts)).model_dump()
    for before, after in itertools.pairwise(said):
        assert after.fact.model_dump()["amends"] == before.event_id
        assert before.fact.model_dump(exclude={"amends"}) != after.fact.model_dump(
            exclude={"amends"}
        )


def state(log: list[Event], *, silent: bool, overdue: bool) -> None:
    """Append what is due, as the ledger does."""
    call = call_of(log)
    if is_due(call, silent=silent, overdue=overdue) and (found := conclude(call)):
        log.append(call_event("c1", found, NOON, str(len(call.verdict_ids) or "")))
