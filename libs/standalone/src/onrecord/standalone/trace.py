"""`onrecord trace`: what happened for a call, in which service, when and for how long.

The ledger names the traces: each entry of the call keeps the traceparent of the work that caused
it. The spans come from the files that the services of a stack write. The first trace is the call's
own, from its INVITE to its verdict; whoever listens to it later begins a trace of their own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from onrecord.contracts.entry import Entry

_TRACE_ID, _SPAN_ID = slice(3, 35), slice(36, 52)
"""Where they stand in a traceparent (W3C Trace Context §3.2.2)."""


@dataclass(frozen=True)
class Span:
    """One piece of work of one service, as it was written down when it ended."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    began: datetime
    ended: datetime
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Node:
    """A span (`kind` internal, client, server, consumer) or a fact, with what came of it.

    `start` is in milliseconds since the trace began, `duration` too; a fact has none.
    """

    kind: str
    service: str
    name: str
    start: float
    duration: float | None
    children: tuple[Node, ...]

    def document(self) -> dict[str, Any]:
        """The node for programs."""
        return {
            "kind": self.kind,
            "service": self.service,
            "name": self.name,
            "start_ms": self.start,
            "duration_ms": self.duration,
            "children": [child.document() for child in self.children],
        }

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        """The node and all below it, each before its children, with its depth."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


@dataclass(frozen=True)
class Trace:
    """One trace as a tree; it has several roots where a span is missing."""

    trace_id: str
    began: datetime
    roots: tuple[Node, ...]


def read_spans(folder: Path) -> list[Span]:
    """All spans that are kept in a folder; a line that is torn or of another kind is left out."""
    found = []
    for path in sorted(folder.glob("*.jsonl*")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found.append(_span(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    return found


def traces_of(entries: Iterable[Entry], spans: Iterable[Span]) -> list[Trace]:
    """The traces that a call's entries name, oldest first; one without any span is left out."""
    facts: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        facts[entry.traceparent[_TRACE_ID]].append(entry)
    by_trace: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        if span.trace_id in facts:
            by_trace[span.trace_id].append(span)
    found = [_trace(trace_id, of, facts[trace_id]) for trace_id, of in by_trace.items()]
    return sorted(found, key=lambda trace: trace.began)


def _trace(trace_id: str, spans: Sequence[Span], facts: Sequence[Entry]) -> Trace:
    began = min(span.began for span in spans)
    known = {span.span_id for span in spans}
    spans_below: dict[str, list[Span]] = defaultdict(list)
    facts_below: dict[str, list[Entry]] = defaultdict(list)
    for span in spans:
        spans_below[span.parent_id if span.parent_id in known else ""].append(span)
    for fact in facts:
        cause = fact.traceparent[_SPAN_ID]
        facts_below[cause if cause in known else ""].append(fact)

    def below(span_id: str) -> tuple[Node, ...]:
        nodes = [_of_span(span, began, below(span.span_id)) for span in spans_below[span_id]]
        nodes += [_of_fact(fact, began) for fact in facts_below[span_id]]
        return tuple(sorted(nodes, key=lambda node: node.start))

    return Trace(trace_id, began, below(""))


def _of_span(span: Span, began: datetime, children: tuple[Node, ...]) -> Node:
    name = span.name.rpartition(".")[2] if span.name.startswith("/") else span.name
    if event := span.attributes.get("onrecord.event_type"):
        name = f"{name} {event}"
    duration = _ms(span.ended, span.began)
    return Node(span.kind, span.service, name, _ms(span.began, began), duration, children)


def _of_fact(fact: Entry, began: datetime) -> Node:
    at = _ms(datetime.fromisoformat(fact.time), began)
    return Node("fact", "", f"{fact.type} (entry {fact.index})", at, None, ())


def _ms(later: datetime, earlier: datetime) -> float:
    return round((later - earlier).total_seconds() * 1000, 3)


def _span(line: Mapping[str, Any]) -> Span:
    """A span as the SDK writes it: ids in hexadecimal after `0x`."""
    return Span(
        line["context"]["trace_id"].removeprefix("0x"),
        line["context"]["span_id"].removeprefix("0x"),
        (line["parent_id"] or "").removeprefix("0x"),
        line["resource"]["attributes"]["service.name"],
        line["name"],
        line["kind"].rpartition(".")[2].lower(),
        datetime.fromisoformat(line["start_time"]),
        datetime.fromisoformat(line["end_time"]),
        line["attributes"],
    )
