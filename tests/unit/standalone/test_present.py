"""What the command prints, for people and for programs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from onrecord.api.retrieval.v1 import retrieval_pb2 as pb
from onrecord.contracts.entry import Entry
from onrecord.standalone.present import (
    CALL_COLUMNS,
    Printer,
    call_row,
    in_short,
    timeline_row,
)

CALL = "01a20aa0de58749fb502b4dbbedfbebb"
SUMMARY = pb.CallSummary(
    call_id=CALL,
    started_at="2026-11-23T12:00:00.000000Z",
    answered_at="2026-11-23T12:00:01.500000Z",
    ended_at="2026-11-23T12:01:04.000000Z",
    line="main",
    kind="recorded",
    verdict="recorded",
    kept_seconds=57.25,
    kept_by_leg={"caller": 57.25, "agent": 56.0, "service-caller": 5.1},
    weakest_grade="B",
)


def row(**changes: Any) -> dict[str, str]:
    """The cells of a call like `SUMMARY`, by their columns."""
    call = pb.CallSummary()
    call.CopyFrom(SUMMARY)
    kept = changes.pop("kept_by_leg", None)
    for name, value in changes.items():
        setattr(call, name, value)
    if kept is not None:
        call.kept_by_leg.clear()
        call.kept_by_leg.update(kept)
    return dict(zip(CALL_COLUMNS, call_row(call), strict=True))


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """No colours, no frames: a heading, then one line a call, separated by tabs."""
    Printer(as_json=False).table(CALL_COLUMNS, [call_row(SUMMARY)])
    assert capsys.readouterr().out == (
        "call\tbegan (UTC)\tverdict\tkept\ttalk\tkind\tline\tgrade\twhy\n"
        f"{CALL}\t11-23 12:00:00\trecorded\t57.2 s\t62.5 s\trecorded\tmain\tB\t\n"
    )


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_terminal_never_cuts_a_call_id(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However narrow: what is typed into the next command must be there."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    causes = " ".join(["network"] * 12)
    Printer(as_json=False).table(CALL_COLUMNS, [(*call_row(SUMMARY)[:-1], causes)])
    out = capsys.readouterr().out
    assert CALL in out
    assert "…" not in out


def test_a_call_that_nobody_answered_is_not_waited_for() -> None:
    """Only what goes on has no outcome yet."""
    unanswered = {"verdict": "", "answered_at": "", "sip_code": 404}
    assert row(**unanswered)["verdict"] == "not answered (404)"
    assert row(**unanswered, ended_at="")["verdict"] == "…"
    assert row(verdict="")["verdict"] == "…"


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ({"service-caller": 5.1}, "no audio came from the caller; no audio came from the agent"),
        ({"caller": 3.0}, "no audio came from the agent"),
        ({"stream-0": 3.0}, ""),
        ({}, ""),
    ],
)
def test_a_party_that_is_not_to_be_heard_is_named(kept: dict[str, float], why: str) -> None:
    """A recording without a voice is no success that goes unsaid."""
    assert row(kept_by_leg=kept)["why"] == why


def test_a_caller_who_hangs_up_early_does_not_read_as_a_fault_of_ours() -> None:
    """The cause is said in words."""
    call = pb.CallSummary(verdict="failed", causes=["call_ended", "leg_closed"])
    assert call_row(call)[-1] == "it ended before recording could start; leg_closed"


def test_json_is_one_line_and_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but the document is on standard output."""
    printer = Printer(as_json=True)
    printer.progress("starting")
    printer.line("for people")
    printer.table(CALL_COLUMNS, [call_row(SUMMARY)])
    printer.document({"call": "c1"})
    assert json.loads(capsys.readouterr().out) == {"call": "c1"}


ENTRY = Entry(
    index=3,
    seq=0,
    stream="call/c1",
    call="c1",
    event_id="c1:call.started",
    type="call.started",
    time="2026-11-23T12:00:00.123456Z",
    recorded_at="2026-11-23T12:00:00.125000Z",
    fields={"route": "main", "ucid": "", "hash": "ab" * 32, "legs": [{}, {}], "acts": ["a", "b"]},
    commitments={"caller_number": bytes(32)},
)


def test_a_fact_is_shown_in_one_line() -> None:
    """What a person reads: no hash, nothing nested or empty; sealed names only."""
    assert timeline_row(ENTRY, in_full=False) == (
        "3",
        "12:00:00.123",
        "call.started",
        "route=main, acts=a b, sealed: caller_number",
    )


def test_a_fact_can_be_shown_in_full() -> None:
    """Every field as it stands in the log."""
    what = timeline_row(ENTRY, in_full=True)[-1]
    assert f"hash={'ab' * 32}" in what
    assert 'acts=["a", "b"]' in what
    assert "ucid=" in what


def test_long_values_are_cut() -> None:
    """A long text does not break the line."""
    assert in_short({"text": "long " * 40}).endswith("…")
    assert in_short({"kept": {"caller": 1.5, "agent": 2.0}}) == "kept=caller:1.5 agent:2.0"
