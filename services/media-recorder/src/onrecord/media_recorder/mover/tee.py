"""Puts captured packets into the ring, and says in the ring itself what found no room."""

from __future__ import annotations

from typing import Protocol

from onrecord.media_recorder.domain.record import Kind, Record, lost_record

# Runs of missing packets per flow that are told apart while they cannot be told; further ones are
# counted into the newest.
MAX_RUNS = 8


class RecordSink(Protocol):
    """Where records go: the ring, as the mover sees it."""

    def put(self, record: Record) -> bool:
        """Put a record; False if there is no room."""


class _Run:
    """Packets of one source that are missing for one reason, one after another."""

    def __init__(self, first: Record, kind: Kind) -> None:
        self.first, self.kind, self.last, self.packets = first, kind, first.sequence, 1

    def add(self, record: Record) -> None:
        """Count one more, which may be a late one; of another source only that it was one."""
        self.packets += 1
        if record.ssrc == self.first.ssrc:
            self.last = max(self.last, record.sequence)
            self.first = min(self.first, record, key=lambda one: one.sequence)

    @property
    def record(self) -> Record:
        """What the ring is to hold of it."""
        return lost_record(self.first, self.kind, self.last, self.packets)


class Losses:
    """Missing packets of one flow, in runs, oldest first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._runs: list[_Run] = []

    def note(self, record: Record, kind: Kind) -> None:
        """Take down one more."""
        newest = self._runs[-1] if self._runs else None
        if newest is not None and (
            (newest.first.ssrc, newest.kind) == (record.ssrc, kind) or len(self._runs) == MAX_RUNS
        ):
            newest.add(record)
        else:
            self._runs.append(_Run(record, kind))

    def extend(self, later: Losses) -> None:
        """Take over all of another's, which came after these."""
        self._runs += later._runs

    def records(self) -> list[Record]:
        """Give word of them."""
        return [run.record for run in self._runs]

    def tell(self, sink: RecordSink) -> bool:
        """Put word of them into the sink, as far as there is room; True when all was told."""
        while self._runs:
            if not sink.put(self._runs[0].record):
                return False
            self._runs.pop(0)
        return True


class Tee:
    """Writes records in order, per flow: what was lost is told before what comes after it."""

    def __init__(self, sink: RecordSink) -> None:
        """Write to this sink."""
        self._sink = sink
        self._lost: dict[int, Losses] = {}

    def put(self, record: Record) -> bool:
        """Put a record; False if it was lost, which will be told."""
        if self._told(record.flow) and self._sink.put(record):
            return True
        self._lost.setdefault(record.flow, Losses()).note(record, Kind.LOST)
        return False

    def tell(self, flow: int, losses: Losses) -> None:
        """Tell of packets that are missing before the next one of this flow."""
        self._lost.setdefault(flow, Losses()).extend(losses)

    def flush(self) -> None:
        """Tell what is missing, as far as there is room now."""
        for flow in list(self._lost):
            self._told(flow)

    def untold(self, flow: int) -> list[Record]:
        """Give word of what is missing of a flow and found no room in the ring yet."""
        losses = self._lost.get(flow)
        return losses.records() if losses is not None else []

    def forget(self, flow: int) -> None:
        """Drop what is known of a flow that is gone."""
        self._lost.pop(flow, None)

    def _told(self, flow: int) -> bool:
        losses = self._lost.get(flow)
        if losses is None:
            return True
        if not losses.tell(self._sink):
            return False
        del self._lost[flow]
        return True
