"""Puts captured packets into the ring, and says in the ring itself what found no room."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from onrecord.media_recorder.domain.record import Record, lost_record

# Runs of lost packets per flow that are told apart while the ring stays full; further ones are
# counted into the newest.
MAX_RUNS = 8


class RecordSink(Protocol):
    """Where records go: the ring, as the mover sees it."""

    def put(self, record: Record) -> bool:
        """Put a record; False if there is no room."""


class _Run:
    """Packets of one source in a row that were lost."""

    def __init__(self, first: Record) -> None:
        self.first, self.last, self.packets = first, first.sequence, 1


class Tee:
    """Writes records in order, per flow: what was lost is told before what comes after it."""

    def __init__(self, sink: RecordSink) -> None:
        """Write to this sink."""
        self._sink = sink
        self._lost: dict[int, list[_Run]] = {}
        self.ring_full: Counter[int] = Counter()

    def put(self, record: Record) -> bool:
        """Put a record; False if it was lost, which is counted and will be told."""
        if (record.flow not in self._lost or self._tell(record.flow)) and self._sink.put(record):
            return True
        self.ring_full[record.flow] += 1
        runs = self._lost.setdefault(record.flow, [])
        if runs and (runs[-1].first.ssrc == record.ssrc or len(runs) == MAX_RUNS):
            runs[-1].last, runs[-1].packets = record.sequence, runs[-1].packets + 1
        else:
            runs.append(_Run(record))
        return False

    def flush(self) -> None:
        """Tell what was lost, as far as there is room now."""
        for flow in list(self._lost):
            self._tell(flow)

    def forget(self, flow: int) -> None:
        """Drop what is known of a flow that is gone."""
        self._lost.pop(flow, None)
        self.ring_full.pop(flow, None)

    def _tell(self, flow: int) -> bool:
        runs = self._lost[flow]
        while runs:
            if not self._sink.put(lost_record(runs[0].first, runs[0].last, runs[0].packets)):
                return False
            runs.pop(0)
        del self._lost[flow]
        return True
