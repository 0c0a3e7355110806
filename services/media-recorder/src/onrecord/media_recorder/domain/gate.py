"""The gate of one call: what the permit allows is kept, what came before it waits or is dropped.

Invariant I1: a frame leaves `offer` or `open` only if a permit names its leg, and on a person's leg
only from the permit's position on. Everything here is in memory; nothing waits longer than its
limit, and what is dropped because it waited too long is remembered, so that it can be named.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from onrecord.ledger.permit import Permit
from onrecord.media_recorder.domain.record import Record

SERVICE: Final = "service-"
# Runs of overflow that are remembered per leg; the newest grows when there are more.
MAX_OVERFLOWS: Final = 16


class State(StrEnum):
    """Whether frames are kept."""

    # No permit yet: frames wait.
    WAITING = "waiting"
    OPEN = "open"
    # A new permit may open it again; nothing of a person waits.
    PAUSED = "paused"
    ENDED = "ended"


class Captured(NamedTuple):
    """A record of one leg and its place in the ring."""

    leg: str
    position: int
    record: Record


@dataclass(slots=True)
class Overflow:
    """Records of one SSRC in a row that waited too long for a permit."""

    ssrc: int
    first: int
    last: int
    packets: int = 1


@dataclass(slots=True)
class Gate:
    """Decides for every captured record of a call, in the order of the ring."""

    hold_ns: int
    notice_hold_ns: int
    state: State = State.WAITING
    permit: Permit | None = None
    overflows: dict[str, list[Overflow]] = field(default_factory=dict)
    _held: dict[str, deque[Captured]] = field(default_factory=dict)
    _until: int | None = None

    def offer(self, captured: Captured) -> Captured | None:
        """Take the next record; give it back if it is to be written now."""
        if self._until is not None and captured.position >= self._until:
            return None
        if self.state is State.OPEN and self.permit is not None:
            return captured if permitted(self.permit, captured) else None
        if self.state is State.WAITING or (
            self.state is State.PAUSED and captured.leg.startswith(SERVICE)
        ):
            self._held.setdefault(captured.leg, deque()).append(captured)
            self._expire(captured.leg, captured.record.arrival_ns)
        return None

    def open(self, permit: Permit) -> list[Captured]:
        """Open by a verified permit; give what waited and may be kept, in the order of the ring."""
        self.state, self.permit, self._until = State.OPEN, permit, None
        waiting = [captured for held in self._held.values() for captured in held]
        self._held.clear()
        kept = [captured for captured in waiting if permitted(permit, captured)]
        return sorted(kept, key=lambda captured: captured.position)

    def shut(self, state: State, at: int) -> None:
        """Close for records from ring position `at` on; those before it are still kept."""
        self._until = at if self._until is None else min(at, self._until)
        if self.state is not State.OPEN:
            self._held.clear()
            self.state = state

    def settle(self, state: State, position: int) -> bool:
        """Say whether every record before the closing was seen; the gate then is in `state`."""
        if self._until is None or position < self._until:
            return False
        self.state = state
        if state is not State.ENDED:
            self._until = None
        return True

    def forget(self, before: int) -> None:
        """Drop what waits from before this ring position: no permit will ever cover it."""
        for held in self._held.values():
            while held and held[0].position < before:
                held.popleft()

    def expire(self, now_ns: int) -> None:
        """Drop what has waited too long, with no newer frame to push it out."""
        for leg in list(self._held):
            self._expire(leg, now_ns)

    @property
    def oldest_held(self) -> int | None:
        """The ring position of the oldest record that waits."""
        return min((held[0].position for held in self._held.values() if held), default=None)

    def first_held(self, leg: str) -> int | None:
        """The ring position of the oldest record of a leg that waits."""
        held = self._held.get(leg)
        return held[0].position if held else None

    def _expire(self, leg: str, now_ns: int) -> None:
        limit = self.notice_hold_ns if leg.startswith(SERVICE) else self.hold_ns
        held = self._held[leg]
        while held and now_ns - held[0].record.arrival_ns > limit:
            self._note_overflow(leg, held.popleft().record)

    def _note_overflow(self, leg: str, record: Record) -> None:
        runs = self.overflows.setdefault(leg, [])
        if runs and (runs[-1].ssrc == record.ssrc or len(runs) == MAX_OVERFLOWS):
            runs[-1].last, runs[-1].packets = record.sequence, runs[-1].packets + 1
        else:
            runs.append(Overflow(record.ssrc, record.sequence, record.sequence))


def permitted(permit: Permit, captured: Captured) -> bool:
    """Say whether the permit covers this record.

    An SSRC other than the permit's was first seen after the notice: the mover captures no other.
    """
    if captured.leg not in permit.legs:
        return False
    position = permit.legs[captured.leg]
    if position is None or position.ssrc != captured.record.ssrc:
        return True
    return captured.record.sequence >= position.sequence
