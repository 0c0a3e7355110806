"""Which packets of a leg there are, and which are missing: runs of sequence numbers per source.

A gap is known by its sequence numbers (RFC 3550); its timestamps are reckoned from its neighbours.
Silence that was not sent (timestamps jump, numbers do not) is no gap, and neither is a sender that
starts anew (numbers jump, timestamps do not).

What counts reaches from where keeping was allowed to begin to what was received last before it
ended, and at least over all that is there and all that is known to be lost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple, Self

from onrecord.ledger.permit import Position
from onrecord.media_recorder.domain.record import Kind, Record, lost_run

# RFC 3550 A.1 MAX_DROPOUT: a jump beyond it may be a restart.
MAX_DROPOUT: Final = 3000
# The least that a packet can last (5 ms at 8 kHz), to tell a long loss from a restart.
_LEAST_SAMPLES = 40
MAX_GAPS: Final = 64
# What every telephone puts into a packet (RFC 3551 §4.2: 20 ms at 8 kHz), where none tells.
_USUAL_SAMPLES: Final = 160
# Received, and yet neither kept nor lost by any cause on record.
NOT_CAPTURED: Final = "not_captured"
_TIMESTAMPS = 1 << 32


@dataclass(slots=True)
class Run:
    """Packets in a row, all present."""

    first: int
    last: int
    first_timestamp: int
    last_timestamp: int


class Gap(NamedTuple):
    """Packets that are missing between two that are there, ends included, and why."""

    first: Position
    last: Position
    packets: int
    cause: str


class Loss(NamedTuple):
    """A known reason for missing numbers of one source; `timestamp` is the first one's if known."""

    ssrc: int
    first: int
    last: int
    cause: str
    timestamp: int | None = None


def loss_of(record: Record) -> Loss:
    """Read what a record says of lost packets."""
    cause = "ring_full" if record.kind is Kind.LOST else "hold_overflow"
    last, _ = lost_run(record)
    return Loss(record.ssrc, record.sequence, last, cause, record.timestamp)


@dataclass(slots=True)
class Coverage:
    """The packets of one leg under one permit, in any order of arrival."""

    runs: dict[int, list[Run]] = field(default_factory=dict)

    def add(self, ssrc: int, sequence: int, timestamp: int) -> None:
        """Note a packet that is there; a second time changes nothing."""
        runs = self.runs.setdefault(ssrc, [])
        if runs and sequence == runs[-1].last + 1:
            runs[-1].last, runs[-1].last_timestamp = sequence, timestamp
            return
        self._insert(runs, Run(sequence, sequence, timestamp, timestamp))

    def merge(self, other: Self) -> None:
        """Note all packets of another part of the same leg."""
        for ssrc, runs in other.runs.items():
            mine = self.runs.setdefault(ssrc, [])
            for run in runs:
                self._insert(mine, run)

    def gaps(
        self, begin: Position | None, until: Position | None, losses: Iterable[Loss]
    ) -> list[Gap]:
        """Name what is missing, source by source, in order.

        `begin` is where keeping was allowed to begin, None if anywhere; `until` is what was
        received last before it ended, None if that is not known.
        """
        known = [loss for loss in losses if not _is_before(loss.ssrc, loss.last, begin)]
        if until is not None:
            known += self._tail(begin, until, known)
        found: list[Gap] = []
        for ssrc in dict.fromkeys([*self.runs, *(loss.ssrc for loss in known)]):
            mine = [loss for loss in known if loss.ssrc == ssrc]
            own_begin = begin if begin is not None and begin.ssrc == ssrc else None
            bounds = _bounds(self.runs.get(ssrc, []), own_begin, mine)
            for left, right in pairwise(bounds):
                if not _restarted(left, right):
                    found += _between(ssrc, left, right, mine)
        return found

    def _tail(self, begin: Position | None, until: Position, known: list[Loss]) -> list[Loss]:
        """Give what was received after all that is here or known to be lost."""
        ends = [run.last for run in self.runs.get(until.ssrc, [])]
        ends += [loss.last for loss in known if loss.ssrc == until.ssrc]
        if begin is not None and begin.ssrc == until.ssrc:
            ends.append(begin.sequence - 1)
        # Of a source of which nothing else is known, this one packet came at least.
        first = max(ends, default=until.sequence - 1) + 1
        if first > until.sequence:
            return []
        timestamp = until.timestamp - (until.sequence - first) * _USUAL_SAMPLES
        return [Loss(until.ssrc, first, until.sequence, NOT_CAPTURED, timestamp)]

    def dump(self) -> dict[str, list[list[int]]]:
        """Give the runs as JSON values."""
        return {
            str(ssrc): [
                [run.first, run.last, run.first_timestamp, run.last_timestamp] for run in runs
            ]
            for ssrc, runs in self.runs.items()
        }

    @classmethod
    def load(cls, dumped: dict[str, list[list[int]]]) -> Self:
        """Read what `dump` gave."""
        return cls({int(ssrc): [Run(*run) for run in runs] for ssrc, runs in dumped.items()})

    @staticmethod
    def _insert(runs: list[Run], run: Run) -> None:
        place = bisect_left(runs, run.first, key=lambda one: one.last + 1)
        while place < len(runs) and runs[place].first <= run.last + 1:
            other = runs.pop(place)
            low = other if other.first < run.first else run
            high = other if other.last > run.last else run
            run = Run(low.first, high.last, low.first_timestamp, high.last_timestamp)
        runs.insert(place, run)


def _is_before(ssrc: int, sequence: int, begin: Position | None) -> bool:
    return begin is not None and begin.ssrc == ssrc and sequence < begin.sequence


def _bounds(runs: list[Run], begin: Position | None, losses: Sequence[Loss]) -> list[Run]:
    """Set a run of nothing before and after one source's runs, where what counts reaches beyond."""
    bounds = list(runs)
    first = min((loss.first for loss in losses), default=None)
    first = first if begin is None else begin.sequence
    if first is not None and not (runs and runs[0].first <= first):
        bounds.insert(0, _nothing_at(first - 1, runs, begin, losses))
    last = max((loss.last for loss in losses), default=None)
    if last is not None and not (runs and runs[-1].last >= last):
        bounds.append(_nothing_at(last + 1, runs, begin, losses))
    return bounds


def _nothing_at(
    number: int, runs: list[Run], begin: Position | None, losses: Sequence[Loss]
) -> Run:
    """Give a run that bounds what is missing, its timestamp reckoned from the nearest known one."""
    known = [(run.first, run.first_timestamp) for run in runs]
    known += [(run.last, run.last_timestamp) for run in runs]
    known += [(one.first, one.timestamp) for one in losses if one.timestamp is not None]
    if begin is not None:
        # The permit's position is the packet after the one whose timestamp it gives.
        known.append((begin.sequence - 1, begin.timestamp))
    near, timestamp = min(known, key=lambda one: abs(one[0] - number), default=(number, 0))
    stamp = (timestamp + (number - near) * _USUAL_SAMPLES) % _TIMESTAMPS
    return Run(number, number, stamp, stamp)


def _restarted(left: Run, right: Run) -> bool:
    missing = right.first - left.last - 1
    elapsed = (right.first_timestamp - left.last_timestamp) % _TIMESTAMPS
    return missing > MAX_DROPOUT and not (missing * _LEAST_SAMPLES <= elapsed < _TIMESTAMPS // 2)


def _between(ssrc: int, left: Run, right: Run, losses: Sequence[Loss]) -> list[Gap]:
    """Split the missing numbers between two runs by their causes."""
    cuts = {left.last + 1, right.first}
    for loss in losses:
        cuts |= {cut for cut in (loss.first, loss.last + 1) if left.last < cut < right.first}
    return [
        Gap(
            Position(ssrc, first, _timestamp(left, right, first)),
            Position(ssrc, end - 1, _timestamp(left, right, end - 1)),
            end - first,
            next((loss.cause for loss in losses if _covers(loss, first)), "network"),
        )
        for first, end in pairwise(sorted(cuts))
    ]


def _covers(loss: Loss, sequence: int) -> bool:
    return loss.first <= sequence <= loss.last


def _timestamp(left: Run, right: Run, sequence: int) -> int:
    elapsed = (right.first_timestamp - left.last_timestamp) % _TIMESTAMPS
    steps = right.first - left.last
    return (left.last_timestamp + elapsed * (sequence - left.last) // steps) % _TIMESTAMPS


def bounded(gaps: list[Gap]) -> list[Gap]:
    """Give at most `MAX_GAPS`, the rest merged into the last."""
    if len(gaps) <= MAX_GAPS:
        return gaps
    kept, rest = gaps[: MAX_GAPS - 1], gaps[MAX_GAPS - 1 :]
    causes = {gap.cause for gap in rest}
    cause = causes.pop() if len(causes) == 1 else "several"
    packets = sum(gap.packets for gap in rest)
    return [*kept, Gap(rest[0].first, rest[-1].last, packets, cause)]
