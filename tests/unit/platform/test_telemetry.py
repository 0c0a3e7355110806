"""Work for a call: its spans and log lines name it, its trace goes on across processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from onrecord.platform import telemetry
from onrecord.platform.spans import FileSpanExporter
from onrecord.platform.telemetry import CALL_ID, continued, in_call, traceparent, traceparent_within
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


@pytest.fixture
def ended() -> InMemorySpanExporter:
    """The spans that ended."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(ended: InMemorySpanExporter) -> Iterator[Tracer]:
    """A tracer as the chassis sets it up."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(telemetry._CallOnSpans())
    provider.add_span_processor(SimpleSpanProcessor(ended))
    yield provider.get_tracer("test")
    provider.shutdown()


def calls(spans: tuple[ReadableSpan, ...]) -> dict[str, object]:
    """Which call each span names, by the span's name."""
    return {span.name: (span.attributes or {}).get(CALL_ID) for span in spans}


def test_a_call_is_named_on_the_current_span_and_all_below(
    tracer: Tracer, ended: InMemorySpanExporter
) -> None:
    """From where the call is known on; what comes after it names none."""
    with tracer.start_as_current_span("server"), in_call("c1"):
        tracer.start_span("below").end()
    tracer.start_span("later").end()
    assert calls(ended.get_finished_spans()) == {"server": "c1", "below": "c1", "later": None}


def test_an_ended_span_still_has_work_of_its_call_below_it(
    tracer: Tracer, ended: InMemorySpanExporter
) -> None:
    """The span of a call's set-up ends long before its call, and takes no attribute then."""
    with tracer.start_as_current_span("call", end_on_exit=False) as span:
        span.end()
        with in_call("c1"):
            tracer.start_span("close").end()
    assert calls(ended.get_finished_spans()) == {"call": None, "close": "c1"}


def test_a_trace_goes_on_from_its_traceparent(tracer: Tracer, ended: InMemorySpanExporter) -> None:
    """Whatever this process is doing meanwhile: the new span is below the one that is named."""
    with tracer.start_as_current_span("of another call"), continued(PARENT, "c1"):
        tracer.start_span("store").end()
    stored = ended.get_finished_spans()[0]
    assert stored.parent is not None
    assert f"{stored.parent.span_id:x}" == "b" * 16
    assert calls((stored,)) == {"store": "c1"}


@pytest.mark.parametrize("parent", ["", "00-zz-1-01", "x" * 500])
def test_a_malformed_traceparent_begins_a_trace(tracer: Tracer, parent: str) -> None:
    """It names no parent, and the work is done all the same."""
    with continued(parent), tracer.start_as_current_span("store") as span:
        assert span.get_span_context().is_valid
        assert isinstance(span, ReadableSpan)
        assert span.parent is None


def test_the_fact_of_one_call_does_not_get_anothers_trace(tracer: Tracer) -> None:
    """The current span where it is of the same trace, else the one that the call has kept."""
    with continued(PARENT), tracer.start_as_current_span("request"):
        assert traceparent_within(PARENT) == traceparent() != PARENT
    with tracer.start_as_current_span("request of another call"):
        assert traceparent_within(PARENT) == PARENT
    assert traceparent_within(PARENT) == PARENT


def test_log_lines_name_call_and_trace(tracer: Tracer) -> None:
    """Both are added; a call that the line names itself stays."""
    with continued(PARENT, "c1"), tracer.start_as_current_span("work"):
        assert telemetry._add_trace(None, "info", {}) == {"trace_id": "a" * 32, "call": "c1"}
        assert telemetry._add_trace(None, "info", {"call": "c2"})["call"] == "c2"
    assert telemetry._add_trace(None, "info", {}) == {}


def test_spans_are_kept_as_lines(
    tracer: Tracer, ended: InMemorySpanExporter, tmp_path: Path
) -> None:
    """One line a span, in the file of the service."""
    tracer.start_span("one").end()
    tracer.start_span("two").end()
    exporter = FileSpanExporter(tmp_path / "spans", "retrieval")
    exporter.export(ended.get_finished_spans())
    exporter.shutdown()
    lines = (tmp_path / "spans" / "retrieval.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["one", "two"]
