"""How the command shows things: tables for people, plain lines for pipes, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onrecord.api.retrieval.v1 import retrieval_pb2 as pb
from onrecord.standalone.checks import Finding
from onrecord.standalone.trace import Trace
from rich.console import Console
from rich.table import Table

CALL_COLUMNS = ("call", "began", "line", "verdict", "kept", "grade", "causes")
TIMELINE_COLUMNS = ("index", "time", "event", "what")
_VERDICT_STYLES = {
    "recorded": "green",
    "partly_recorded": "yellow",
    "not_recorded": "cyan",
    "failed": "red",
}
_MAX_VALUE = 60
_MAX_ITEMS = 4
_LONG_HEX = re.compile(r"[0-9a-f]{32,}")


class Printer:
    """Standard output for results, standard error for what happens meanwhile.

    With `as_json`, results are one JSON document in one line and nothing else is on standard
    output.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)

    def progress(self, text: str) -> None:
        """Say what is going on, on standard error."""
        self._err.print(text, markup=False)

    def line(self, text: str, style: str = "") -> None:
        """One line of a result for people; left out where JSON is wanted."""
        if not self.as_json:
            self._out.print(text, style=style or None, markup=False)

    def finding(self, finding: Finding) -> None:
        """The outcome of one check, for people."""
        mark, style = ("holds", "green") if finding.holds else ("BROKEN", "red")
        self.line(f"{mark:<7} {finding.name:<26} {finding.text}", style)

    def document(self, document: Any) -> None:
        """The result for programs; left out where people read."""
        if self.as_json:
            # Who waits for `up` to be ready reads a pipe: the line must be there when written.
            print(json.dumps(document, ensure_ascii=False), flush=True)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        styles: Mapping[str, str] | None = None,
    ) -> None:
        """A table on a terminal, tab-separated lines in a pipe; left out where JSON is wanted.

        `styles` colours a cell by its whole text.
        """
        if self.as_json:
            return
        if not self._out.is_terminal:
            for row in rows:
                sys.stdout.write("\t".join(row) + "\n")
            return
        table = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(_styled(cell, styles or {}) for cell in row))
        self._out.print(table)


def call_row(call: pb.CallSummary) -> tuple[str, ...]:
    """A call in the columns of `CALL_COLUMNS`."""
    return (
        call.call_id,
        call.started_at,
        call.line,
        call.verdict or "…",
        f"{call.kept_seconds:.1f} s",
        call.weakest_grade,
        ", ".join(call.causes),
    )


def call_document(call: pb.CallSummary) -> dict[str, Any]:
    """A call for programs."""
    return {
        "call": call.call_id,
        "started_at": call.started_at,
        "answered_at": call.answered_at,
        "ended_at": call.ended_at,
        "direction": call.direction,
        "line": call.line,
        "verdict": call.verdict,
        "causes": list(call.causes),
        "kept_seconds": call.kept_seconds,
        "weakest_grade": call.weakest_grade,
    }


def timeline_row(entry: pb.TimelineEntry) -> tuple[str, ...]:
    """A fact in the columns of `TIMELINE_COLUMNS`."""
    what = in_short(json.loads(entry.fields_json or "{}"), entry.sealed)
    return str(entry.index), entry.time, entry.type, what


def timeline_document(entry: pb.TimelineEntry) -> dict[str, Any]:
    """A fact for programs."""
    return {
        "index": entry.index,
        "seq": entry.seq,
        "event_id": entry.event_id,
        "type": entry.type,
        "time": entry.time,
        "recorded_at": entry.recorded_at,
        "fields": json.loads(entry.fields_json or "{}"),
        "sealed": list(entry.sealed),
    }


def trace_document(trace: Trace) -> dict[str, Any]:
    """A trace for programs."""
    roots = [root.document() for root in trace.roots]
    return {"trace_id": trace.trace_id, "began": trace.began.isoformat(), "roots": roots}


def trace_lines(trace: Trace) -> Iterator[str]:
    """A trace for people: start and duration in milliseconds, then the tree."""
    yield f"trace {trace.trace_id}, began {trace.began.isoformat()}"
    for root in trace.roots:
        for depth, node in root.walk():
            took = "" if node.duration is None else f"{node.duration:.1f}"
            what = f"{node.service}: {node.name}" if node.service else f"= {node.name}"
            yield f"{node.start:10.1f} {took:>9}  {'  ' * depth}{what}"


def in_short(fields: Mapping[str, Any], sealed: Iterable[str] = ()) -> str:
    """The fields of a fact in one line: hashes by their beginning, what is nested by its length."""
    parts = [f"{name}={_value(v)}" for name, v in fields.items() if v not in ("", None, [], {})]
    names = sorted(sealed)
    return ", ".join([*parts, f"sealed: {' '.join(names)}"] if names else parts)


def verdict_styles() -> Mapping[str, str]:
    """The colours of verdicts."""
    return _VERDICT_STYLES


def _value(value: Any) -> str:
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return f"({len(value)})"
    if isinstance(value, list):
        value = " ".join(map(_shortened, value))
    if isinstance(value, dict):
        if len(value) > _MAX_ITEMS:
            return f"({len(value)})"
        value = " ".join(f"{key}:{_value(item)}" for key, item in value.items())
    text = _shortened(str(value))
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def _shortened(text: str) -> str:
    """Hashes and call ids by their first eight digits: enough to tell them apart."""
    return _LONG_HEX.sub(lambda found: found[0][:8] + "…", text)


def _styled(cell: str, styles: Mapping[str, str]) -> str:
    safe = cell.replace("[", r"\[")
    return f"[{styles[cell]}]{safe}[/]" if cell in styles else safe
