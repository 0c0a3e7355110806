"""The verdict: what became of a call's recording; and what later findings make of it."""

from __future__ import annotations

from onrecord.consent_ledger.domain.call import Call, kept_seconds
from onrecord.contracts.events import CallVerdict, CallVerdictAmended, Grade

SIGNALLING_LOST = "signalling_lost"
"""The cause when a call's worker died, or fell silent before it said how the call ended."""

NOT_STORED = "not_stored"
"""The cause when a recording was started and the recorder did not say that it is stored."""

_GATE_OPENED = "opened"
_CALL_ENDED = "call_ended"


def is_settled(call: Call) -> bool:
    """Whether nothing is to be said until another fact comes in."""
    if call.verdict is not None:
        return not call.news
    return call.ended is not None and not call.answered


def is_due(call: Call, *, silent: bool, overdue: bool) -> bool:
    """Whether enough is known to judge the call now, for the first time or again.

    `silent`: the call's worker has not named it for too long, so that `call.ended` is not waited
    for; nor, after the end of a call whose gate was opened, or may have been as the call ended,
    `recording.started`, which may cross it. `overdue`: no fact of the call has come in for so long
    that the rest of its recording is not waited for. The first verdict does not wait for the rest
    when the recorder gave up; an amended one does, so that a spool that is drained late is one
    finding and not as many as it has units.
    """
    if is_settled(call) or not call.answered or (call.ended is None and not silent):
        return False
    if call.stored_all:
        return True
    if call.ended is None or call.recording_started:
        gave_up = call.ended is None or bool(call.recording_failures)
        return overdue or (gave_up and call.verdict is None)
    return silent or not _may_be_recorded(call, call.ended.gate)


def _may_be_recorded(call: Call, gate: str) -> bool:
    """Whether the recorder may have opened the gate, though it has not said so yet."""
    return gate == _GATE_OPENED or (gate == _CALL_ENDED and bool(call.relied_on))


def conclude(call: Call) -> CallVerdict | None:
    """The fact to state of a call for which a verdict is due; None when it stands already."""
    judged = judge(call)
    if call.verdict is None:
        return judged
    content = judged.model_dump()
    if content == call.verdict.model_dump(include=set(content)):
        return None
    return CallVerdictAmended(**content, amends=call.verdict_ids[-1])


def judge(call: Call) -> CallVerdict:
    """What the facts of a call say about its recording."""
    if call.started is not None and call.started.kind == "emergency":
        return CallVerdict(verdict="not_recorded", rule="emergency")
    if call.started is not None and call.started.kind == "unrecorded":
        return CallVerdict(verdict="not_recorded", rule=f"route/{call.started.route}")
    if call.recording_started:
        return _judge_recording(call)
    if rule := _rule_against(call):
        return CallVerdict(verdict="not_recorded", rule=rule, weakest_grade=_weakest_grade(call))
    return CallVerdict(
        verdict="failed", causes=_causes_of_failure(call), weakest_grade=_weakest_grade(call)
    )


def _judge_recording(call: Call) -> CallVerdict:
    causes = [*call.gaps, *call.pauses, *call.recording_failures]
    if call.objections:
        causes.append("objection")
    if _lost_its_worker(call):
        causes.append(SIGNALLING_LOST)
    if not call.stored_all and not call.recording_failures:
        causes.append(NOT_STORED)
    if not call.units:
        verdict, causes = "failed", causes or ["nothing_kept"]
    else:
        verdict = "partly_recorded" if causes else "recorded"
    return CallVerdict.model_validate(
        {
            "verdict": verdict,
            "causes": _each_once(causes),
            "kept_seconds": kept_seconds(call.units),
            "weakest_grade": _weakest_grade(call),
        }
    )


def _rule_against(call: Call) -> str:
    """The rule or objection that kept the gate shut; empty when it was a failure."""
    if call.objections or "objection" in call.refusals:
        return "objection"
    if call.decided is not None and not call.decided.may_record:
        return f"{call.decided.pack}/{call.decided.pack_version}"
    return "no_own_party" if "no_own_party" in call.refusals else ""


def _causes_of_failure(call: Call) -> tuple[str, ...]:
    causes = [*call.notice_failures, *call.refusals, *call.recording_failures]
    if call.ended is not None and call.ended.gate not in (_GATE_OPENED, _CALL_ENDED):
        causes.insert(0, call.ended.gate)
    elif _lost_its_worker(call):
        causes.insert(0, SIGNALLING_LOST)
    elif call.ended is not None and call.ended.gate == _CALL_ENDED:
        causes.insert(0, _CALL_ENDED)
    # The gate opened but the recorder never said so.
    return _each_once(causes or ["recorder_silent"])


def _lost_its_worker(call: Call) -> bool:
    return call.ended is None or call.ended.cause == SIGNALLING_LOST


def _each_once(causes: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(causes))[:32]


def _weakest_grade(call: Call) -> Grade | None:
    """The weakest grade among the notices that a permit relied on."""
    grades = [notice.fact.grade for notice in call.notices if notice.event_id in call.relied_on]
    return max(grades, default=None)
