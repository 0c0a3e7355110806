"""The tree that `onrecord trace` prints, from entries and span files."""

from __future__ import annotations

import json
from pathlib import Path

from onrecord.contracts.entry import Entry
from onrecord.standalone.present import trace_document, trace_lines
from onrecord.standalone.trace import read_spans, traces_of

CALL_TRACE, OTHER_TRACE = "1" * 32, "2" * 32


def span_line(
    span_id: str, parent: str | None, began: str, *, trace: str = CALL_TRACE, name: str = "call"
) -> str:
    """A span as the SDK writes it; it takes a quarter of a second."""
    return json.dumps(
        {
            "name": name,
            "context": {"trace_id": f"0x{trace}", "span_id": f"0x{span_id * 16}"},
            "kind": "SpanKind.SERVER",
            "parent_id": f"0x{parent * 16}" if parent else None,
            "start_time": f"2026-01-01T00:00:{began}00000Z",
            "end_time": f"2026-01-01T00:00:{began}25000Z",
            "attributes": {},
            "resource": {"attributes": {"service.name": "signalling"}},
        }
    )


def entry(index: int, event_type: str, span_id: str, trace: str = CALL_TRACE) -> Entry:
    """A fact that the work of this span caused."""
    time = f"2026-01-01T00:00:0{index}.500000Z"
    parent = f"00-{trace}-{span_id * 16}-01"
    return Entry(index, 0, "call/c1", "c1", "c1:x", event_type, time, time, {}, traceparent=parent)


def test_facts_stand_below_the_spans_that_caused_them(tmp_path: Path) -> None:
    """Spans by their parents, facts by their traceparent, brothers in the order of time."""
    lines = [
        span_line("c", "a", "02.0", name="/onrecord.api.media_recorder.v1.Media/Open"),
        span_line("b", "a", "01.0"),
        span_line("a", None, "00.0"),
    ]
    (tmp_path / "signalling.jsonl").write_text("\n".join(lines))
    (trace,) = traces_of([entry(1, "call.started", "a")], read_spans(tmp_path))
    (root,) = trace.roots
    assert [(depth, node.name, node.start) for depth, node in root.walk()] == [
        (0, "call", 0.0),
        (1, "call", 1000.0),
        (1, "call.started (entry 1)", 1500.0),
        (1, "Media/Open", 2000.0),
    ]
    assert next(iter(trace_lines(trace))).startswith(f"trace {CALL_TRACE}, began 2026-01-01")
    assert trace_document(trace)["roots"][0]["duration_ms"] == 25.0


def test_traces_of_other_calls_are_left_out_and_later_ones_follow(tmp_path: Path) -> None:
    """Only traces that an entry of the call names, the oldest first."""
    later, strange = "3" * 32, OTHER_TRACE
    lines = [span_line("b", None, "05.0", trace=later), span_line("a", None, "00.0")]
    lines.append(span_line("d", None, "01.0", trace=strange))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    entries = [entry(2, "access.granted", "b", later), entry(0, "call.started", "a")]
    found = traces_of(entries, read_spans(tmp_path))
    assert [trace.trace_id for trace in found] == [CALL_TRACE, later]


def test_what_is_below_a_span_that_is_missing_is_a_root(tmp_path: Path) -> None:
    """A service that was killed before it wrote its span takes nothing with it but that."""
    (tmp_path / "a.jsonl").write_text(span_line("b", "a", "01.0"))
    (trace,) = traces_of([entry(3, "call.ended", "9")], read_spans(tmp_path))
    assert [root.name for root in trace.roots] == ["call", "call.ended (entry 3)"]


def test_torn_and_strange_lines_are_passed_over(tmp_path: Path) -> None:
    """A file that a kill cut short is read up to there, and the one before it too."""
    whole = span_line("a", None, "00.0")
    (tmp_path / "a.jsonl").write_text(f"{whole}\n{whole[:50]}\n[]\n{{}}\n\xff")
    (tmp_path / "a.jsonl.1").write_text(span_line("b", None, "00.0") + "\n")
    assert sorted(span.span_id[0] for span in read_spans(tmp_path)) == ["a", "b"]
    assert read_spans(tmp_path / "absent") == []
