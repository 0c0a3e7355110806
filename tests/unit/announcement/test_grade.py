"""The grade: only a report of the whole approved prompt, unaltered, makes a notice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.announcement.domain.grade import NotTold, PlayReport, Told, grade
from unit.announcement.factories import PCMA, PCMU, a_prompt, a_report


@pytest.mark.parametrize("report", [a_report(), a_report(payload_sha256=PCMA)])
def test_a_prompt_sent_whole_has_grade_b(report: PlayReport) -> None:
    """In either of the codecs that the recorder may have had to use."""
    assert grade(report, a_prompt()) == Told("B")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"complete": False, "reason": "leg_closed"}, "leg_closed"),
        ({"complete": False, "reason": ""}, "incomplete"),
        ({"complete": False, "reason": "Not A Slug"}, "incomplete"),
        ({"packets": 2, "last_sequence": 65535}, "packets_differ"),
        ({"packets": 4, "last_sequence": 65537}, "packets_differ"),
        ({"last_sequence": 65537}, "sequence_differs"),
        ({"first_sequence": 65536, "last_sequence": 65534}, "sequence_differs"),
        ({"octets": 479}, "octets_differ"),
        ({"octets": 960}, "octets_differ"),
        ({"payload_sha256": "33" * 32}, "audio_differs"),
        ({"payload_sha256": ""}, "audio_differs"),
    ],
)
def test_anything_else_is_no_notice(change: dict[str, object], reason: str) -> None:
    """Each field of the report that does not fit the prompt has its reason."""
    assert grade(a_report(**change), a_prompt()) == NotTold(reason)


REPORTS = st.builds(
    lambda first, span, **fields: a_report(
        first_sequence=first, last_sequence=first + span, **fields
    ),
    first=st.integers(0, 2**48 - 1),
    span=st.integers(-2, 6),
    complete=st.booleans(),
    packets=st.integers(0, 5),
    octets=st.sampled_from([0, 479, 480, 481]),
    payload_sha256=st.sampled_from([PCMU, PCMA, "33" * 32, ""]),
)


@given(report=REPORTS)
def test_no_report_but_a_faultless_one_gives_a_grade(report: PlayReport) -> None:
    """For any report, a grade implies that every field is as the prompt demands."""
    span = report.last_sequence - report.first_sequence
    faultless = (report.complete, report.packets, span, report.octets) == (True, 3, 2, 480)
    known = report.payload_sha256 in {PCMU, PCMA}
    assert isinstance(grade(report, a_prompt()), Told) == (faultless and known)
