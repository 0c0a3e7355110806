"""Logs, traces and metrics: structlog JSON, OpenTelemetry, one place for both.

Personal data stands only under keys that begin with `pii.`; never in event or span names.
Traces leave by OTLP when the standard variable OTEL_EXPORTER_OTLP_ENDPOINT is set.

One call is one trace. Its id travels as W3C baggage beside the traceparent, so that every span and
every log line of work for a call names it: as attribute `onrecord.call_id` and as key `call`.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import structlog
from onrecord.platform.spans import FileSpanExporter
from opentelemetry import baggage, context, metrics, propagate, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

NAME = "onrecord"
CALL_ID = "onrecord.call_id"
"""The attribute, and the baggage, that names the call."""
_DURATIONS = View(
    instrument_name="*.duration",
    aggregation=ExplicitBucketHistogramAggregation(
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
    ),
)
"""Operations take milliseconds to seconds; the SDK's own buckets begin at five seconds."""
_TRACE_ID = slice(3, 35)
"""Where the trace's id stands in a traceparent (W3C Trace Context §3.2.2)."""


def configure(service: str, node: str, spans: Path | None = None) -> None:
    """Set up logs, traces and metrics of this process; called once, before anything else.

    With `spans`, ended spans are also kept as JSON lines in that folder.
    """
    _configure_logs(service)
    resource = Resource.create({"service.name": service, "service.instance.id": node})
    traces = TracerProvider(resource=resource)
    traces.add_span_processor(_CallOnSpans())
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    if spans is not None:
        exporter = FileSpanExporter(spans, service)
        traces.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(
        MeterProvider(
            resource=resource, metric_readers=[PrometheusMetricReader()], views=[_DURATIONS]
        )
    )


def shutdown() -> None:
    """Send what is still held back."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def get_logger(**bound: Any) -> structlog.stdlib.BoundLogger:
    """A logger whose events are static names with keys."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(**bound)
    return logger


@functools.cache  # the SDK makes a new tracer each time, which takes as long as a span
def tracer() -> trace.Tracer:
    """The tracer of onrecord's own spans."""
    return trace.get_tracer(NAME)


def meter() -> metrics.Meter:
    """The meter of onrecord's own instruments, named `onrecord_*`."""
    return metrics.get_meter(NAME)


def traceparent() -> str:
    """The current span as a W3C traceparent; empty outside of any."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    # As propagate.inject writes it, without the baggage that it would escape beside it.
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def traceparent_within(parent: str) -> str:
    """The current span if it belongs to the trace of `parent`, else `parent`.

    For what is done for one call while another one's request happens to be at work.
    """
    current = traceparent()
    return current if current[_TRACE_ID] == parent[_TRACE_ID] else parent


@contextlib.contextmanager
def in_call(call: str) -> Iterator[None]:
    """Work for a call: the current span, all below it and every log line name it; "" names none."""
    if not call:
        yield
        return
    span = trace.get_current_span()
    if span.is_recording():  # else it has ended or is another process's
        span.set_attribute(CALL_ID, call)
    with attached(baggage.set_baggage(CALL_ID, call)):
        yield


def call_context(span: trace.Span, call: str) -> context.Context:
    """The context of all work for a call below its span; made once, to be `attached` often."""
    return trace.set_span_in_context(span, baggage.set_baggage(CALL_ID, call, context.Context()))


@contextlib.contextmanager
def continued(parent: str, call: str = "") -> Iterator[None]:
    """Work for a call below the span that a W3C traceparent names; a malformed one names none."""
    with (
        attached(propagate.extract({"traceparent": parent}, context.Context())),
        in_call(call),
    ):
        yield


@contextlib.contextmanager
def attached(found: context.Context) -> Iterator[None]:
    """Work in this context."""
    token = context.attach(found)
    try:
        yield
    finally:
        context.detach(token)


class _CallOnSpans(SpanProcessor):
    """Writes the call that a span's context names onto the span."""

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        call = baggage.get_baggage(CALL_ID, parent_context)
        if isinstance(call, str):
            span.set_attribute(CALL_ID, call)


def _add_trace(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = f"{span.trace_id:032x}"
    if call := baggage.get_baggage(CALL_ID):
        event.setdefault("call", call)
    return event


_tracebacks = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def _configure_logs(service: str) -> None:
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        # Without the frames' variables: they may hold numbers, names and keys.
        _tracebacks,
    ]
    # Our own lines go straight to standard error: by the standard library each took four times as
    # long. What libraries log comes by the handler below and looks the same.
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger().setLevel(logging.INFO)
    # The clients report each refused connection at error level; the chassis says it once.
    for noisy in ("aiokafka", "pymongo", "uvicorn", "grpc", "botocore", "aiobotocore"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    structlog.contextvars.bind_contextvars(service=service)
