"""What may be released: units that are stored, for purposes that all parties were told of."""

from __future__ import annotations

from onrecord.retrieval.domain.call import TimelineFact
from onrecord.retrieval.domain.fold import timeline_fact
from onrecord.retrieval.domain.release import purposes_told, stored_units
from unit.retrieval.factories import a_recorded_call, a_unit_row, an_entry


def notice(seq: int, party: str, *purposes: str) -> TimelineFact:
    """A notice that named these purposes."""
    return timeline_fact(an_entry("c1", seq, "notice.given", party=party, purposes=list(purposes)))


def test_a_purpose_must_have_been_told_to_every_party() -> None:
    """What one side was not told of is no purpose for listening to both."""
    timeline = [notice(0, "caller", "quality", "training"), notice(1, "agent", "quality")]
    assert purposes_told(timeline) == {"quality"}


def test_a_second_notice_adds_to_what_a_party_was_told() -> None:
    """Two prompts may share the words."""
    timeline = [
        notice(0, "caller", "quality"),
        notice(1, "caller", "disputes"),
        notice(2, "agent", "quality", "disputes"),
    ]
    assert purposes_told(timeline) == {"quality", "disputes"}


def test_without_a_notice_there_is_no_purpose() -> None:
    """A failed notice told nobody of anything."""
    failed = timeline_fact(an_entry("c1", 0, "notice.failed", party="caller", reason="incomplete"))
    assert purposes_told([failed]) == frozenset()


def test_units_come_in_the_order_kept_and_each_once() -> None:
    """Epochs before numbers, numbers as numbers; a unit listed twice is one unit."""
    rows = [
        a_unit_row("c1", "caller", 10),
        a_unit_row("c1", "caller", 2),
        a_unit_row("c1", "caller", 0, epoch=6, object_key="c1/caller/6-0"),
        a_unit_row("c1", "agent", 0),
        a_unit_row("c1", "caller", 2),
    ]
    timeline = [timeline_fact(entry) for entry in a_recorded_call(rows=rows)]
    assert [unit.object_key for unit in stored_units(timeline)] == [
        "c1/agent/5-0",
        "c1/caller/5-2",
        "c1/caller/5-10",
        "c1/caller/6-0",
    ]
