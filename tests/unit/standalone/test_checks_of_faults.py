"""The checks for calls in which something died: each fails for the promise that was broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from onrecord.ledger.instant import format_time
from onrecord.standalone.checks import WHATEVER_HAPPENED, run_checks
from onrecord.standalone.checks.observed import Observed
from unit.standalone.observed_call import CALL, Draft, observed_call

SEQUENCE = 65500


def projection_of(seen: Observed) -> dict[str, Any]:
    """What the index should hold of a call, as the fold of retrieval would write it."""
    facts = [logged.entry for logged in seen.entries if logged.stream == f"call/{CALL}"]
    times = {entry.type: format_time(entry.time) for entry in facts}
    verdict = [one.fields for one in facts if one.type.startswith("call.verdict")][-1]
    return {
        "_id": CALL,
        "last_seq": len(facts) - 1,
        "started_at": times["call.started"],
        "ended_at": times["call.ended"],
        "kind": "recorded",
        "verdict": verdict["verdict"],
        "causes": list(verdict.get("causes", [])),
        "rule": "",
        "kept_seconds": {},
        "weakest_grade": "",
        "timeline": [
            {
                "index": entry.index,
                "seq": entry.seq,
                "event_id": entry.event_id,
                "type": entry.type,
                "time": format_time(entry.time),
                "recorded_at": format_time(entry.recorded_at),
                "fields_json": json.dumps(entry.fields),
                "sealed": (),
            }
            for entry in facts
        ],
    }


def broken(seen: Observed, spoil: Callable[[dict[str, Any]], None] | None = None) -> set[str]:
    """The names of the checks that do not hold."""
    projection = projection_of(seen)
    if spoil:
        spoil(projection)
    found = run_checks(replace(seen, projection=projection), WHATEVER_HAPPENED)
    return {finding.name for finding in found if not finding.holds}


def position(at: int) -> dict[str, int]:
    """Where the caller's frame number `at` stands."""
    return {"ssrc": 10, "sequence": SEQUENCE + at, "timestamp": 1000 + at * 160}


def lost_and_named(draft: Draft, cause: str, last: int) -> None:
    """The caller's frames from 90 on are not kept, and a gap says so."""
    gap = {"leg": "caller", "first": position(90), "last": position(last), "cause": cause}
    draft.facts.insert(-2, ("recording.gap", {**gap, "packets": 10}))
    draft.facts[-2] = ("call.verdict", {"verdict": "partly_recorded", "causes": [cause]})


def without_end(draft: Draft) -> None:
    """The caller's last frames are missing."""
    del draft.kept["caller"][-10:]


def shut(draft: Draft, at: int) -> None:
    """The gate was shut when the caller's frame `at` had been received."""
    fields = {"permit_id": f"{CALL}:p0", "legs": [{"leg": "caller", "position": position(at)}]}
    draft.facts.insert(-4, ("recording.stopped", fields))


def test_a_good_call_keeps_every_promise() -> None:
    """Nothing is found in a call to which nothing happened."""
    assert broken(observed_call()) == set()


@pytest.mark.parametrize(("cause", "last"), [("network", 99), ("mover_lost", 90)])
def test_a_loss_with_a_name_is_no_fault(cause: str, last: int) -> None:
    """A gap names the numbers that are missing; that of a death reaches to the end."""
    seen = observed_call(without_end, lambda draft: lost_and_named(draft, cause, last))
    assert broken(seen) == set()


def test_a_recording_that_was_given_up_says_so() -> None:
    """`recording.failed` names what is missing at the end, and nothing that is missing before."""

    def give_up(draft: Draft) -> None:
        draft.facts.insert(-4, ("recording.failed", {"cause": "spool_unwritable"}))
        verdict = {"verdict": "partly_recorded", "causes": ["spool_unwritable"]}
        draft.facts[-2] = ("call.verdict", verdict)

    def with_a_hole(draft: Draft) -> None:
        without_end(draft)
        del draft.kept["caller"][20]

    assert broken(observed_call(without_end, give_up)) == set()
    assert broken(observed_call(with_a_hole, give_up)) == {"losses_named"}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, set()),
        ({"verdict": "failed"}, {"verdict_fits"}),
        ({"causes": ["late"], "verdict": "recorded"}, {"one_verdict", "verdict_fits"}),
        ({"amends": f"{CALL}:call.verdict_amended"}, {"one_verdict", "verdict_fits"}),
    ],
)
def test_the_latest_verdict_is_the_one_that_holds(change: dict[str, Any], names: set[str]) -> None:
    """Stored after it had failed: judged by the amended verdict, which names the first."""

    def late(draft: Draft) -> None:
        failed = {"verdict": "failed", "causes": ["spool_unwritable"]}
        stored = draft.facts.pop(-3)
        amended = {
            "verdict": "partly_recorded",
            "causes": ["spool_unwritable"],
            "amends": f"{CALL}:call.verdict",
            **change,
        }
        draft.facts[-2:] = [
            ("recording.failed", {"cause": "spool_unwritable"}),
            ("call.verdict", failed),
            stored,
            ("call.verdict_amended", amended),
        ]

    assert broken(observed_call(None, late)) == names


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (lambda draft: None, {"losses_named"}),
        (lambda draft: lost_and_named(draft, "network", 91), {"losses_named"}),
        (lambda draft: shut(draft, 99), {"losses_named"}),
    ],
)
def test_a_loss_without_a_name_is_found(facts: Callable[[Draft], None], names: set[str]) -> None:
    """Frames that were delivered under the permit and are in no gap."""
    assert broken(observed_call(without_end, facts)) == names


def test_what_came_after_the_stop_is_not_missed() -> None:
    """The position at which the gate was shut ends what was to be kept."""
    assert broken(observed_call(without_end, lambda draft: shut(draft, 89))) == set()


def test_a_frame_after_the_stop_is_found() -> None:
    """Kept although the gate was shut before it came."""
    assert broken(observed_call(None, lambda draft: shut(draft, 89))) == {"kept_by_permit"}


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (
            lambda draft: draft.fact("permit.issued").update(relied_on=[]),
            "kept_by_permit",
        ),
        (
            lambda draft: draft.fact("recording.started").update(permit_id=f"{CALL}:p1"),
            "kept_by_permit",
        ),
        (
            lambda draft: draft.fact("permit.issued")["legs"].pop(0),
            "kept_by_permit",
        ),
        (
            lambda draft: draft.facts.insert(
                -2,
                ("recording.gap", {"leg": "agent", "first": {}, "last": {}, "cause": "network"}),
            ),
            "verdict_fits",
        ),
        (
            lambda draft: draft.fact("call.verdict").update(verdict="failed", causes=["late"]),
            "verdict_fits",
        ),
    ],
)
def test_facts_that_do_not_carry_the_audio_are_found(
    facts: Callable[[Draft], None], name: str
) -> None:
    """A permit without its notices, not the one used, or of other legs; a verdict that hides."""
    assert name in broken(observed_call(None, facts))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda projection: projection["timeline"].append(projection["timeline"][-1]),
        lambda projection: projection["timeline"].pop(2),
        lambda projection: projection.update(verdict="failed"),
        lambda projection: projection.update(last_seq=3),
        lambda projection: projection["timeline"][1].update(fields_json="{}"),
    ],
)
def test_an_index_that_is_not_the_fold_is_found(
    spoil: Callable[[dict[str, Any]], None],
) -> None:
    """A fact twice, one missing, one of other content, a summary that differs."""
    assert broken(observed_call(), spoil) == {"projection_equals_fold"}
