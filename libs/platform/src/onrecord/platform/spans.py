"""Spans as JSON lines in a file: how the embedded stack keeps its traces without a collector."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

FILE_BYTES = 20 << 20


class FileSpanExporter(SpanExporter):
    """Appends each ended span to `<folder>/<service>.jsonl`; the file before it is kept as `.1`."""

    def __init__(self, folder: Path, service: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = logging.handlers.RotatingFileHandler(
            folder / f"{service}.jsonl", maxBytes=FILE_BYTES, backupCount=1
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans, a line each."""
        for span in spans:
            line = span.to_json(indent=None)
            self._file.handle(logging.LogRecord("span", logging.INFO, "", 0, line, None, None))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        self._file.close()
