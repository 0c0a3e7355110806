"""What the ledger and the manifest are told of a call: its units, its gaps and their causes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import rfc8785
from onrecord.contracts import events
from onrecord.contracts.events import RecordingGap, StoredUnit
from onrecord.ledger.permit import Permit, Position, decode
from onrecord.media_recorder.adapters.call_log import CallLog, SealedUnit
from onrecord.media_recorder.adapters.spool import UnitName, WrittenUnit
from onrecord.media_recorder.domain.coverage import Coverage, Gap
from onrecord.media_recorder.mover.control import Json
from onrecord.media_recorder.recording import utc_text
from onrecord.rtp.storage.unit import Frame

LOST_CAUSES: Final = frozenset({"recorder_lost", "mover_lost"})
# The open-ended gap of a leg whose recorder or mover died is numbered after all counted ones.
_LAST_NUMBER: Final = 9999


class NamedGap(NamedTuple):
    """A gap of one leg and what its fact is called: `<leg>:<epoch>:<number>`."""

    leg: str
    epoch: int
    number: int
    gap: Gap

    @property
    def discriminator(self) -> str:
        """What tells this gap's fact from the call's others."""
        return f"{self.leg}:{self.epoch}:{self.number}"

    def fact(self) -> RecordingGap:
        """The gap as the ledger is told."""
        return RecordingGap(
            leg=self.leg,  # type: ignore[arg-type]
            first=_fact_position(self.gap.first),
            last=_fact_position(self.gap.last),
            packets=self.gap.packets,
            cause=self.gap.cause,
        )


@dataclass(frozen=True, slots=True)
class Actor:
    """Why something was stopped, in what role by whom; `name` is kept sealed."""

    cause: str
    role: str
    name: str = ""


def started(permit: Permit, *, resumed: bool) -> events.RecordingStarted:
    """Give the fact that a permit opened the gate."""
    kind = events.RecordingResumed if resumed else events.RecordingStarted
    return kind(
        permit_id=permit.permit_id,
        legs=tuple(
            events.RecordedLeg(leg=leg, position=_fact_position(position) if position else None)  # type: ignore[arg-type]
            for leg, position in permit.legs.items()
        ),
    )


def stopped(
    permit: Permit, actor: Actor, received: Mapping[str, Json | None], *, paused: bool
) -> events.RecordingPaused:
    """Give the fact that an open gate was shut, for now or for good."""
    kind = events.RecordingPaused if paused else events.RecordingStopped
    return kind(
        permit_id=permit.permit_id,
        cause=actor.cause,
        actor_role=actor.role or "system",
        actor=actor.name or None,
        legs=tuple(
            events.RecordedLeg(leg=leg, position=received.get(leg))  # type: ignore[arg-type]
            for leg in permit.legs
        ),
    )


def sealed_unit(
    name: UnitName, written: WrittenUnit, frames: Sequence[Frame], body: bytes
) -> SealedUnit:
    """Describe a unit whose object is `body`."""
    coverage = Coverage()
    for frame in frames:
        coverage.add(frame.ssrc, frame.sequence, frame.timestamp)
    unit = StoredUnit(
        leg=name.leg,  # type: ignore[arg-type]
        epoch=name.epoch,
        k=name.k,
        object_key=name.object_key,
        octets=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        key_ref=written.header.key_ref,
        frames=len(frames),
        first=_frame_position(frames[0]),
        last=_frame_position(frames[-1]),
        started_at=utc_text(frames[0].arrival_ns),
        ended_at=utc_text(frames[-1].arrival_ns),
    )
    return SealedUnit(unit, written.header.unit.permit_id, coverage)


def named_gaps(written: CallLog, cause: str) -> list[NamedGap]:
    """Name every gap of a call that ended for this cause, leg by leg and permit by permit.

    What is missing between two permits is not a gap: nothing was to be kept there.
    """
    # A later permit's positions may lie before the pause, in which nothing was to be kept.
    first = decode(written.permits[0]["payload"].encode()) if written.permits else None
    begins = {first.permit_id: first.legs} if first else {}
    parts: dict[tuple[str, str], Coverage] = {}
    epochs: dict[tuple[str, str], int] = {}
    ends: dict[str, StoredUnit] = {}
    for sealed in _in_order(written):
        place = (sealed.unit.leg, sealed.permit_id)
        parts.setdefault(place, Coverage()).merge(sealed.coverage)
        epochs.setdefault(place, sealed.unit.epoch)
        ends[sealed.unit.leg] = sealed.unit
    gaps = []
    for (leg, permit_id), coverage in parts.items():
        losses = [loss for of, loss in written.losses if of == leg]
        found = coverage.gaps(begins.get(permit_id, {}).get(leg), losses)
        epoch = epochs[leg, permit_id]
        gaps += [NamedGap(leg, epoch, number, gap) for number, gap in enumerate(found)]
    if cause in LOST_CAUSES:
        gaps += [_open_end(unit, cause) for unit in ends.values()]
    return gaps


def manifest(call: str, written: CallLog, gaps: Sequence[NamedGap]) -> bytes:
    """Give the manifest's bytes: RFC 8785 JSON of all units, gaps, permits and pauses."""
    return rfc8785.dumps(
        {
            "call": call,
            "units": [sealed.unit.model_dump(mode="json") for sealed in _in_order(written)],
            "gaps": [gap.fact().model_dump(mode="json") for gap in gaps],
            "permits": written.permits,
            "pauses": written.pauses,
        }
    )


def _in_order(written: CallLog) -> list[SealedUnit]:
    return sorted(
        written.units.values(), key=lambda one: (one.unit.epoch, one.unit.k, one.unit.leg)
    )


def _open_end(unit: StoredUnit, cause: str) -> NamedGap:
    """A gap of unknown length after the last frame that was kept of a leg."""
    last = Position(unit.last.ssrc, unit.last.sequence, unit.last.timestamp)
    return NamedGap(unit.leg, unit.epoch, _LAST_NUMBER, Gap(last, last, 0, cause))


def _frame_position(frame: Frame) -> events.Position:
    return events.Position(ssrc=frame.ssrc, sequence=frame.sequence, timestamp=frame.timestamp)


def _fact_position(position: Position) -> events.Position:
    return events.Position(
        ssrc=position.ssrc, sequence=position.sequence, timestamp=position.timestamp
    )
