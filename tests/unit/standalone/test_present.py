"""What the command prints, for people and for programs."""

from __future__ import annotations

import json

import pytest
from onrecord.api.retrieval.v1 import retrieval_pb2 as pb
from onrecord.standalone.present import (
    CALL_COLUMNS,
    Printer,
    call_row,
    in_short,
    timeline_row,
)

SUMMARY = pb.CallSummary(
    call_id="c1",
    started_at="2026-11-23T12:00:00.000000Z",
    line="main",
    verdict="recorded",
    kept_seconds=57.25,
    weakest_grade="B",
)


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """No colours, no frames: one line a call, separated by tabs."""
    Printer(as_json=False).table(CALL_COLUMNS, [call_row(SUMMARY)])
    assert capsys.readouterr().out == (
        "c1\t2026-11-23T12:00:00.000000Z\tmain\trecorded\t57.2 s\tB\t\n"
    )


def test_json_is_one_line_and_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but the document is on standard output."""
    printer = Printer(as_json=True)
    printer.progress("starting")
    printer.line("for people")
    printer.table(CALL_COLUMNS, [call_row(SUMMARY)])
    printer.document({"call": "c1"})
    assert json.loads(capsys.readouterr().out) == {"call": "c1"}


def test_a_fact_is_shown_in_one_line() -> None:
    """Lists of objects by their length, empty values not at all, sealed names only."""
    entry = pb.TimelineEntry(
        index=3,
        time="t",
        type="call.started",
        fields_json=json.dumps({"route": "main", "ucid": "", "legs": [{}, {}], "acts": ["a", "b"]}),
        sealed=["caller_number"],
    )
    assert timeline_row(entry) == (
        "3",
        "t",
        "call.started",
        "route=main, legs=(2), acts=a b, sealed: caller_number",
    )


def test_long_values_are_cut() -> None:
    """A hash or a long text does not break the line."""
    assert in_short({"sha256": "ab" * 32, "causes": []}) == "sha256=abababab…"
    assert in_short({"text": "long " * 40}).endswith("…")
