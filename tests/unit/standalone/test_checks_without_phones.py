"""The checks that need no phones: which apply to a call, and what each of them finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from onrecord.ledger.canonical import encode_entry
from onrecord.ledger.merkle import leaf_hash
from onrecord.standalone.checks import checks_without_phones, run_checks
from onrecord.standalone.checks.log import intact, nothing_cut
from onrecord.standalone.checks.observed import Broken, Observed, Traces
from unit.standalone.observed_call import Draft, observed_call
from unit.standalone.test_checks_of_faults import position, projection_of


def broken(seen: Observed) -> set[str]:
    """The names of the checks that do not hold when only what is stored is known."""
    seen = replace(seen, log=(), published=(), phones={}, projection=projection_of(seen))
    return {f.name for f in run_checks(seen, checks_without_phones(seen)) if not f.holds}


def test_a_good_call_keeps_every_promise() -> None:
    """Nothing is found although nobody taped what the phones sent."""
    assert broken(observed_call()) == set()


def test_a_call_that_is_not_over_is_left_alone() -> None:
    """It will be looked at when it has its verdict."""
    seen = observed_call(None, lambda draft: draft.facts.pop(-2))
    assert checks_without_phones(seen) == {}


def test_a_call_that_was_never_answered_has_no_verdict_and_no_audio() -> None:
    """What is kept of it is found; that it has no verdict is none."""

    def unanswered(draft: Draft) -> None:
        draft.fact("call.ended").update(answered=False)
        del draft.facts[-2:]

    checks = checks_without_phones(observed_call(None, unanswered))
    assert "nothing_kept" in checks
    assert "one_verdict" not in checks


def hole(draft: Draft) -> None:
    """One frame in the middle is not kept."""
    del draft.kept["agent"][20]


def named(draft: Draft) -> None:
    """And a gap says so."""
    place: dict[str, Any] = {**position(70), "ssrc": 11}
    gap = {"leg": "agent", "first": place, "last": place, "cause": "network", "packets": 1}
    draft.facts.insert(-2, ("recording.gap", gap))
    draft.facts[-2] = ("call.verdict", {"verdict": "partly_recorded", "causes": ["network"]})


@pytest.mark.parametrize(("facts", "names"), [(None, {"gaps_named"}), (named, set())])
def test_a_hole_needs_a_name(facts: Callable[[Draft], None] | None, names: set[str]) -> None:
    """The numbers of the kept frames tell that one is missing."""
    assert broken(observed_call(hole, facts)) == names


def test_a_sender_that_begins_anew_left_no_hole() -> None:
    """Its numbers jump further than a loss would (RFC 3550 A.1)."""

    def anew(draft: Draft) -> None:
        frames = draft.kept["agent"]
        frames[-10:] = [replace(frame, sequence=frame.sequence + 5000) for frame in frames[-10:]]

    assert broken(observed_call(anew)) == set()


def unnamed_listener(seen: Observed) -> Observed:
    """The access entry has no person."""
    granted = seen.entries[-1]
    canonical = encode_entry(replace(granted.entry, sealed={}))
    bare = replace(granted, canonical=canonical, sealed={}, leaf=leaf_hash(canonical))
    return replace(seen, entries=(*seen.entries[:-1], bare))


def test_a_release_without_a_person_is_found() -> None:
    """Somebody listened and it is not said who."""
    assert broken(unnamed_listener(observed_call())) == {"access_named"}


def test_a_release_for_a_purpose_not_told_is_found() -> None:
    """One of the parties was told of another purpose."""
    seen = observed_call(
        None, lambda draft: draft.fact("notice.given").update(purposes=["training"])
    )
    assert broken(seen) == {"access_named"}


def test_a_call_on_the_unrecorded_route_has_no_recorder() -> None:
    """Whatever of a recording stands in it is found."""
    seen = observed_call(None, lambda draft: draft.fact("call.started").update(kind="unrecorded"))
    assert {"no_recorder", "nothing_kept"} <= broken(seen)


def test_an_object_that_no_entry_lists_is_found() -> None:
    """It is kept under the call's name, and nobody said so."""
    seen = observed_call()
    more = replace(seen, objects={**seen.objects, f"{seen.call}/caller/1-0": b"audio"})
    assert broken(more) == {"hashes"}


@pytest.mark.parametrize(
    "change",
    [{"call": "c2"}, {"type": "call.started"}, {"stream": "recording/c2"}, {"canonical": b"{}"}],
)
def test_an_entry_filed_as_another_is_found(change: dict[str, Any]) -> None:
    """Whoever looks for the accesses to a call by its document's names would miss it."""
    granted = observed_call().entries[-1]
    intact(granted)
    with pytest.raises(Broken):
        intact(replace(granted, **change))


@pytest.mark.parametrize(
    ("traces", "holds"),
    [
        (Traces(frozenset({"c1"}), 9), True),
        (Traces(frozenset({"c1"}), 10), False),
        (Traces(frozenset({"c1", "c2"}), 0), False),
    ],
)
def test_a_log_that_was_cut_is_known_by_what_is_left_elsewhere(
    traces: Traces, *, holds: bool
) -> None:
    """How far others had read it, and of which calls something is kept."""
    log = observed_call().log
    assert len(log) == 9
    try:
        nothing_cut(log, traces)
    except Broken:
        assert not holds
    else:
        assert holds
