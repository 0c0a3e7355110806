"""The checks of a call on the unrecorded route see each way in which it could have been kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from onrecord.ledger.canonical import CanonicalEntry, encode_entry
from onrecord.ledger.merkle import leaf_hash
from onrecord.softphone.media import MediaFrame
from onrecord.standalone.checks import UNRECORDED_CALL, run_checks
from onrecord.standalone.checks.observed import LoggedEntry, Observed, PhoneTape

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CALLER, AGENT, OURS = ("127.0.0.1", 4000), ("127.0.0.1", 5000), ("127.0.0.1", 6000)


def logged(index: int, event_type: str, *, sealed: bool = False, **fields: Any) -> LoggedEntry:
    """An entry of call c1."""
    commitments = {"caller_number": bytes(32)} if sealed else {}
    canonical = encode_entry(
        CanonicalEntry(
            index=index,
            event_id=f"c1:{event_type}",
            type=event_type,
            stream="call/c1",
            seq=index,
            call="c1",
            time=NOON,
            recorded_at=NOON,
            fields=fields,
            sealed=commitments,
        )
    )
    leaf = leaf_hash(canonical)
    return LoggedEntry(
        index, f"c1:{event_type}", "call/c1", index, canonical, {}, leaf, "c1", event_type
    )


def packet(ssrc: int, sequence: int) -> MediaFrame:
    """A packet as a phone remembers it."""
    return MediaFrame(0, ssrc, sequence, sequence * 160, 0, bytes(160))


def unrecorded_call() -> Observed:
    """A call on which every check holds."""
    entries = [
        logged(0, "call.started", kind="unrecorded"),
        logged(1, "call.answered", legs=[]),
        logged(2, "call.ended", gate="not_asked"),
        logged(3, "call.verdict", verdict="not_recorded", rule="route/prefix-9"),
    ]
    said = {"caller": [packet(1, n) for n in range(5)], "agent": [packet(2, n) for n in range(5)]}
    phones = {
        "caller": PhoneTape(tuple(said["caller"]), tuple(said["agent"][:4]), 1, CALLER, AGENT),
        "agent": PhoneTape(tuple(said["agent"]), tuple(said["caller"][:4]), 1, AGENT, CALLER),
    }
    return Observed("c1", (), tuple(entries), (), {}, {}, (), phones)


def with_entry(seen: Observed, index: int, entry: LoggedEntry) -> Observed:
    """The same call with another entry at this place."""
    entries = list(seen.entries)
    entries[index : index + 1] = [entry]
    return replace(seen, entries=tuple(entries))


def with_phone(seen: Observed, party: str, **changes: Any) -> Observed:
    """The same call with something else on one phone's tape."""
    return replace(seen, phones={**seen.phones, party: replace(seen.phones[party], **changes)})


def test_a_call_that_passed_us_by_holds() -> None:
    """Nothing is reported where nothing is wrong."""
    assert [f for f in run_checks(unrecorded_call(), UNRECORDED_CALL) if not f.holds] == []


VERDICT = logged(3, "call.verdict", verdict="recorded", rule="route/prefix-9")
UNRULED = logged(3, "call.verdict", verdict="not_recorded", rule="emergency")
NUMBER = logged(0, "call.started", sealed=True)
RECORDER = logged(1, "call.answered", legs=[], media_node="media-recorder-1")
POLICY = logged(1, "policy.decided", may_record=False)


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (lambda seen: with_phone(seen, "caller", sends_to=OURS), "media_past_us"),
        (lambda seen: with_phone(seen, "agent", sends_to=None), "media_past_us"),
        (lambda seen: with_phone(seen, "agent", received=()), "media_past_us"),
        (lambda seen: with_phone(seen, "agent", received=(packet(9, 1),)), "media_past_us"),
        (lambda seen: with_entry(seen, 3, VERDICT), "rule_named"),
        (lambda seen: with_entry(seen, 3, UNRULED), "rule_named"),
        (lambda seen: with_entry(seen, 0, NUMBER), "no_far_number"),
        (lambda seen: with_entry(seen, 1, RECORDER), "no_recorder"),
        (lambda seen: with_entry(seen, 1, POLICY), "no_recorder"),
        (lambda seen: replace(seen, objects={"c1/manifest": b""}), "nothing_kept"),
        (lambda seen: replace(seen, spool=("caller/1-0.open",)), "nothing_kept"),
        (lambda seen: replace(seen, unit_keys={"c1:p0/0": bytes(32)}), "nothing_kept"),
    ],
)
def test_each_way_to_keep_something_is_seen(
    broken: Callable[[Observed], Observed], name: str
) -> None:
    """The check whose promise is broken says so, and no other."""
    found = run_checks(broken(unrecorded_call()), UNRECORDED_CALL)
    assert [finding.name for finding in found if not finding.holds] == [name]
