"""Which packets of a leg there are, and which are missing: runs of sequence numbers per source.

A gap is known by its sequence numbers (RFC 3550); its timestamps are reckoned from its neighbours.
Silence that was not sent (timestamps jump, numbers do not) is no gap, and neither is a sender that
starts anew (numbers jump, timestamps do not).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple, Self

from onrecord.ledger.permit import Position

# RFC 3550 A.1 MAX_DROPOUT: a jump beyond it may be a restart.
MAX_DROPOUT: Final = 3000
# The least that a packet can last (5 ms at 8 kHz), to tell a long loss from a restart.
_LEAST_SAMPLES = 40
MAX_GAPS: Final = 64
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
    """A known reason for missing numbers of one source."""

    ssrc: int
    first: int
    last: int
    cause: str


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

    def gaps(self, begin: Position | None, losses: Iterable[Loss]) -> list[Gap]:
        """Name what is missing, in order; at most `MAX_GAPS`, the rest merged into the last.

        `begin` is where keeping was allowed to begin: what is missing from there on counts.
        """
        known = list(losses)
        found: list[Gap] = []
        for ssrc, runs in self.runs.items():
            bounds = list(runs)
            if begin is not None and begin.ssrc == ssrc and runs[0].first > begin.sequence:
                before = begin.sequence - 1
                bounds.insert(0, Run(before, before, begin.timestamp, begin.timestamp))
            for left, right in pairwise(bounds):
                if not _restarted(left, right):
                    found += _between(ssrc, left, right, known)
        return _bounded(found)

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


def _restarted(left: Run, right: Run) -> bool:
    missing = right.first - left.last - 1
    elapsed = (right.first_timestamp - left.last_timestamp) % _TIMESTAMPS
    return missing > MAX_DROPOUT and not (missing * _LEAST_SAMPLES <= elapsed < _TIMESTAMPS // 2)


def _between(ssrc: int, left: Run, right: Run, losses: Sequence[Loss]) -> list[Gap]:
    """Split the missing numbers between two runs by their causes."""
    cuts = {left.last + 1, right.first}
    for loss in losses:
        if loss.ssrc == ssrc:
            cuts |= {cut for cut in (loss.first, loss.last + 1) if left.last < cut < right.first}
    return [
        Gap(
            Position(ssrc, first, _timestamp(left, right, first)),
            Position(ssrc, end - 1, _timestamp(left, right, end - 1)),
            end - first,
            next(
                (loss.cause for loss in losses if loss.ssrc == ssrc and _covers(loss, first)),
                "network",
            ),
        )
        for first, end in pairwise(sorted(cuts))
    ]


def _covers(loss: Loss, sequence: int) -> bool:
    return loss.first <= sequence <= loss.last


def _timestamp(left: Run, right: Run, sequence: int) -> int:
    elapsed = (right.first_timestamp - left.last_timestamp) % _TIMESTAMPS
    steps = right.first - left.last
    return (left.last_timestamp + elapsed * (sequence - left.last) // steps) % _TIMESTAMPS


def _bounded(gaps: list[Gap]) -> list[Gap]:
    if len(gaps) <= MAX_GAPS:
        return gaps
    kept, rest = gaps[: MAX_GAPS - 1], gaps[MAX_GAPS - 1 :]
    causes = {gap.cause for gap in rest}
    cause = causes.pop() if len(causes) == 1 else "several"
    packets = sum(gap.packets for gap in rest)
    return [*kept, Gap(rest[0].first, rest[-1].last, packets, cause)]
