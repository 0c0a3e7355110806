"""How the command shows things: tables for people, plain lines for pipes, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from onrecord.api.retrieval.v1 import retrieval_pb2 as pb
from onrecord.contracts.entry import Entry
from onrecord.standalone.checks import Finding
from onrecord.standalone.trace import Trace
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

CALL_COLUMNS = ("call", "began (UTC)", "verdict", "kept", "talk", "kind", "line", "grade", "why")
TIMELINE_COLUMNS = ("index", "time", "event", "what")
_VERDICT_STYLES = {
    "recorded": "green",
    "partly_recorded": "yellow",
    "not_recorded": "cyan",
    "failed": "red",
}
_MAX_VALUE = 60
_LAST_WIDTH = 20
_LONG_HEX = re.compile(r"[0-9a-f]{32,}")
_SPOKEN_LEGS = ("caller", "agent")
_CAUSE_WORDS = {"call_ended": "it ended before recording could start"}


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

        No cell is ever cut: the last column is folded, and a terminal too narrow for the others
        wraps the line. `styles` colours a cell by its whole text.
        """
        if self.as_json:
            return
        lines = [tuple(columns), *map(tuple, rows)]
        if not self._out.is_terminal:
            for line in lines:
                sys.stdout.write("\t".join(line) + "\n")
            return
        table = Table(box=None, pad_edge=False)
        for column in columns:
            table.add_column(column, no_wrap=column != columns[-1], overflow="fold")
        for line in lines[1:]:
            table.add_row(*(_styled(cell, styles or {}) for cell in line))
        widths = [max(map(cell_len, cells)) + 1 for cells in list(zip(*lines, strict=True))[:-1]]
        self._out.width = max(self._out.width, sum(widths) + _LAST_WIDTH)
        self._out.print(table)


class Timeline:
    """Prints each fact as it is published, with the time since the call was placed."""

    def __init__(self, printer: Printer, *, after: int = -1) -> None:
        """Facts up to the index `after` of the log are of earlier calls."""
        self._printer = printer
        self._after = after
        self._began = time.monotonic()

    def begin(self) -> None:
        """The call is placed now."""
        self._began = time.monotonic()

    def tell(self, entry: Entry) -> None:
        """Print one fact."""
        if entry.index > self._after:
            what = in_short(entry.fields, entry.commitments)
            since = time.monotonic() - self._began
            self._printer.line(f"{since:6.2f} s  {entry.index:>4}  {entry.type:<18}  {what}")


def call_row(call: pb.CallSummary) -> tuple[str, ...]:
    """A call in the columns of `CALL_COLUMNS`."""
    return (
        call.call_id,
        _short_time(call.started_at),
        outcome(call),
        f"{call.kept_seconds:.1f} s" if call.kept_by_leg else "",
        _talk(call),
        call.kind,
        call.line,
        call.weakest_grade,
        "; ".join([*(_CAUSE_WORDS.get(cause, cause) for cause in call.causes), *silence(call)]),
    )


def outcome(call: pb.CallSummary) -> str:
    """What became of a call: its verdict; that nobody answered; `…` while it is not decided."""
    if not call.verdict and call.ended_at and not call.answered_at:
        return f"not answered ({call.sip_code})"
    return call.verdict or "…"


def silence(call: pb.CallSummary) -> list[str]:
    """Who is not to be heard in what is kept of a call between two parties."""
    kept = dict(call.kept_by_leg)
    if not kept or not kept.keys() <= {*_SPOKEN_LEGS, *(f"service-{leg}" for leg in _SPOKEN_LEGS)}:
        return []
    return [f"no audio came from the {leg}" for leg in _SPOKEN_LEGS if leg not in kept]


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
        "kept_by_leg": dict(call.kept_by_leg),
        "weakest_grade": call.weakest_grade,
        "kind": call.kind,
        "end_cause": call.end_cause,
        "sip_code": call.sip_code,
    }


def call_line(call: pb.CallSummary) -> str:
    """A call in one line."""
    parts = [outcome(call), *(_CAUSE_WORDS.get(cause, cause) for cause in call.causes)]
    kept = [f"{call.kept_seconds:.1f} s kept"] if call.kept_by_leg else []
    return f"{call.call_id}  {'; '.join([*parts, *kept, *silence(call)])}"


def timeline_row(entry: Entry, *, in_full: bool) -> tuple[str, ...]:
    """A fact in the columns of `TIMELINE_COLUMNS`, with every field whole if `in_full`."""
    what = (whole if in_full else in_short)(entry.fields, entry.commitments)
    return str(entry.index), entry.time[11:23], entry.type, what


def timeline_document(entry: Entry) -> dict[str, Any]:
    """A fact for programs."""
    return {
        "index": entry.index,
        "seq": entry.seq,
        "event_id": entry.event_id,
        "type": entry.type,
        "time": entry.time,
        "recorded_at": entry.recorded_at,
        "fields": dict(entry.fields),
        "sealed": sorted(entry.commitments),
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
    """What a person reads of a fact in one line: no hashes and ids, nothing nested, not all."""
    shown = ((name, _in_short(value)) for name, value in fields.items())
    return _joined([f"{name}={text}" for name, text in shown if text], sealed)


def whole(fields: Mapping[str, Any], sealed: Iterable[str] = ()) -> str:
    """Every field of a fact as it stands in the log, of the sealed ones the names."""
    texts = (
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in fields.items()
    )
    return _joined(texts, sealed)


def verdict_styles() -> Mapping[str, str]:
    """The colours of verdicts."""
    return _VERDICT_STYLES


def _joined(texts: Iterable[str], sealed: Iterable[str]) -> str:
    names = sorted(sealed)
    return ", ".join([*texts, f"sealed: {' '.join(names)}"] if names else texts)


def _in_short(value: Any) -> str:
    if isinstance(value, dict):
        value = [
            f"{key}:{item}" for key, item in value.items() if not isinstance(item, dict | list)
        ]
    if isinstance(value, list):
        value = " ".join(item for item in value if isinstance(item, str))
    text = "" if value is None else str(value)
    if _LONG_HEX.search(text):
        return ""
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"


def _short_time(text: str) -> str:
    """Month, day and second of an RFC 3339 time."""
    return text[5:19].replace("T", " ")


def _talk(call: pb.CallSummary) -> str:
    if not (call.answered_at and call.ended_at):
        return ""
    ended, answered = map(datetime.fromisoformat, (call.ended_at, call.answered_at))
    return f"{(ended - answered).total_seconds():.1f} s"


def _styled(cell: str, styles: Mapping[str, str]) -> str:
    safe = cell.replace("[", r"\[")
    return f"[{styles[cell]}]{safe}[/]" if cell in styles else safe
