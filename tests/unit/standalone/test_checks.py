"""Each check holds for a call that keeps every promise and fails for one that breaks its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from onrecord.standalone.checks import ANY_CALL, RECORDED_CALL, run_checks
from onrecord.standalone.checks.observed import Observed
from unit.standalone.observed_call import EPOCH, NUMBER, Draft, observed_call

ALL = ANY_CALL | RECORDED_CALL


def broken(seen: Observed) -> set[str]:
    """The names of the checks that do not hold."""
    return {finding.name for finding in run_checks(seen, ALL) if not finding.holds}


def test_a_good_call_keeps_every_promise() -> None:
    """Nothing is found, and each check says what it looked at."""
    findings = run_checks(observed_call(), ALL)
    assert not [finding for finding in findings if not finding.holds]
    assert all(finding.text for finding in findings)


def early_frame_kept(draft: Draft) -> None:
    """One frame from just before the permit's position is kept."""
    first = draft.kept["caller"][0]
    sent = draft.sent["caller"][49]
    early = replace(
        first, sequence=first.sequence - 1, timestamp=sent.timestamp, payload=sent.payload
    )
    draft.kept["caller"].insert(0, early)


def frame_from_before_the_notice(draft: Draft) -> None:
    """A frame sent at the call's beginning is kept under numbers that look permitted."""
    draft.sent["agent"][60] = draft.sent["agent"][60]._replace(
        time_ns=draft.sent["agent"][0].time_ns
    )


def frame_altered(draft: Draft) -> None:
    """One octet of one kept frame is another than was sent."""
    frame = draft.kept["caller"][10]
    draft.kept["caller"][10] = replace(frame, payload=b"\0" + frame.payload[1:])


def frame_missing(draft: Draft) -> None:
    """One delivered frame is not in the recording."""
    del draft.kept["agent"][20]


def frame_twice(draft: Draft) -> None:
    """One frame is kept twice."""
    draft.kept["agent"].append(draft.kept["agent"][20])


def notice_cut(draft: Draft) -> None:
    """The phone did not hear the notice's last frame."""
    del draft.heard["caller"][-1]


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (early_frame_kept, {"nothing_kept_before"}),
        (frame_from_before_the_notice, {"nothing_kept_before"}),
        (frame_altered, {"audio_equal"}),
        (frame_missing, {"audio_equal"}),
        (frame_twice, {"audio_equal"}),
        (notice_cut, {"notice_inside"}),
    ],
)
def test_spoilt_audio_is_found(spoil: Callable[[Draft], None], names: set[str]) -> None:
    """The check of this promise fails."""
    assert names <= broken(observed_call(audio=spoil))


def order_swapped(draft: Draft) -> None:
    """Recording was started before its permit."""
    draft.facts[3], draft.facts[4] = draft.facts[4], draft.facts[3]


def agent_not_told(draft: Draft) -> None:
    """The permit relies on the notice to the caller only."""
    draft.fact("permit.issued")["relied_on"].pop()


def two_verdicts(draft: Draft) -> None:
    """There is a second verdict."""
    draft.facts.append(("call.verdict", {"verdict": "failed"}))


def other_hash(draft: Draft) -> None:
    """A unit is listed with another hash."""
    draft.fact("recording.stored")["units"][0]["sha256"] = "00" * 32


def other_purpose(draft: Draft) -> None:
    """The access entry names another purpose than the one that was played for."""
    draft.fact("access.granted")["purpose"] = "training"


def number_in_clear(draft: Draft) -> None:
    """The caller's number stands among the open fields."""
    draft.fact("call.started")["route"] = NUMBER


def gap_hidden(draft: Draft) -> None:
    """There is a gap, but the verdict says recorded."""
    position = {"ssrc": 10, "sequence": 1}
    draft.facts.insert(5, ("recording.gap", {"leg": "caller", "first": position, "last": position}))


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (order_swapped, {"permit_before_first_frame"}),
        (agent_not_told, {"all_told_before_permit"}),
        # Its event id is derived, so a second one is also an event that stands there twice.
        (two_verdicts, {"one_verdict", "order", "kafka_equals_ledger"}),
        (gap_hidden, {"one_verdict"}),
        (other_hash, {"hashes"}),
        (other_purpose, {"access_before_release"}),
        (number_in_clear, {"nothing_personal_in_clear"}),
    ],
)
def test_spoilt_facts_are_found(spoil: Callable[[Draft], None], names: set[str]) -> None:
    """The check of this promise fails, and only that one."""
    assert broken(observed_call(facts=spoil)) == names


def test_a_gap_that_is_named_is_no_loss() -> None:
    """A frame that a gap names may be missing; the audio is still as it was spoken."""
    position = {"ssrc": 11, "sequence": 65570}

    def gap(draft: Draft) -> None:
        fields = {"leg": "agent", "first": position, "last": position}
        draft.facts.insert(5, ("recording.gap", fields))
        draft.fact("call.verdict")["verdict"] = "partly_recorded"

    assert "audio_equal" not in broken(observed_call(audio=frame_missing, facts=gap))


def test_spoilt_stores_are_found() -> None:
    """Gaps in the log, altered entries, a lost object, spool leftovers, a silent bus."""
    good = observed_call()
    first = good.entries[0]
    assert broken(replace(good, log=good.log[1:])) == {"order"}
    altered = replace(first, leaf=bytes(32))
    assert broken(replace(good, entries=(altered, *good.entries[1:]))) == {"entries_intact"}
    assert broken(replace(good, spool=(f"caller/{EPOCH}-0.open",))) == {"spool_empty"}
    assert "kafka_equals_ledger" in broken(replace(good, published=good.published[1:]))
    assert "kafka_equals_ledger" in broken(replace(good, published=good.published[::-1]))
    assert {"hashes", "audio_equal"} <= broken(replace(good, objects={}))
    assert {"channels_right", "access_before_release"} == broken(replace(good, release=None))


def test_records_may_come_twice() -> None:
    """Kafka is at least once: a repeated record is no fault, one that the log lacks is."""
    good = observed_call()
    assert not broken(replace(good, published=(*good.published, good.published[0])))
    stranger = replace(good.published[0], value=good.published[0].value.replace(b"c1:", b"c2:"))
    assert broken(replace(good, published=(*good.published, stranger))) == {"kafka_equals_ledger"}


def test_swapped_channels_are_found() -> None:
    """The agent on the left is a broken promise."""
    good = observed_call()
    release = good.release
    assert release is not None
    head, data = release.wav[:44], release.wav[44:]
    swapped = b"".join(data[at + 2 : at + 4] + data[at : at + 2] for at in range(0, len(data), 4))
    assert broken(replace(good, release=replace(release, wav=head + swapped))) == {"channels_right"}


def test_a_release_before_its_access_entry_is_found() -> None:
    """Audio that came out before its entry was committed breaks the promise."""
    good = observed_call()
    release = good.release
    assert release is not None
    early = replace(release, first_octet_ns=release.first_octet_ns - 60_000_000_000)
    assert broken(replace(good, release=early)) == {"access_before_release"}


def test_what_cannot_be_read_does_not_hold() -> None:
    """A check that fails to read says so; it never passes and never raises."""
    good = observed_call()
    garbage = replace(good.entries[0], canonical=b"{")
    seen = replace(good, entries=(garbage, *good.entries[1:]))
    assert "entries_intact" in broken(seen)
