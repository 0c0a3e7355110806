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
from onrecord.media_recorder.domain.coverage import Coverage, Gap, bounded
from onrecord.media_recorder.mover.control import Json
from onrecord.media_recorder.recording import utc_text
from onrecord.rtp.storage.unit import Frame

LOST_CAUSES: Final = frozenset({"recorder_lost", "mover_lost"})
# The epoch of gaps at which no unit of their permit was written.
NO_EPOCH: Final = 0
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
    permits = [decode(found["payload"].encode()) for found in written.permits]
    gaps = [
        gap
        for leg in dict.fromkeys(leg for permit in permits for leg in permit.legs)
        for gap in _gaps_of_leg(written, permits, leg)
    ]
    shut = {pause["permit_id"] for pause in written.pauses}
    if cause in LOST_CAUSES and permits and permits[-1].permit_id not in shut:
        gaps += _open_ends(written, permits, cause)
    return gaps


def _gaps_of_leg(written: CallLog, permits: Sequence[Permit], leg: str) -> list[NamedGap]:
    units = [one for one in _in_order(written) if one.unit.leg == leg]
    by_epoch: dict[int, list[Gap]] = {}
    for number, permit in enumerate(permits):
        mine = [one for one in units if one.permit_id == permit.permit_id]
        coverage = Coverage()
        for one in mine:
            coverage.merge(one.coverage)
        # What was lost while the first permit was waited for is lost to it.
        losses = [
            loss
            for of, opened, loss in written.losses
            if of == leg and max(opened - 1, 0) == number
        ]
        begin, until = permit.legs.get(leg), written.received_last(permit.permit_id, leg)
        if number:
            # A later permit's positions may lie before the pause, in which nothing was to be kept;
            # and so may what came last, if nothing came since.
            begin, until = None, until if mine or losses else None
        epoch = mine[0].unit.epoch if mine else NO_EPOCH
        by_epoch.setdefault(epoch, []).extend(coverage.gaps(begin, until, losses))
    return [
        NamedGap(leg, epoch, number, gap)
        for epoch, found in by_epoch.items()
        for number, gap in enumerate(bounded(found))
    ]


def _open_ends(written: CallLog, permits: Sequence[Permit], cause: str) -> list[NamedGap]:
    """Name, for each leg, a gap of unknown length from the last packet that is known of it."""
    units: dict[str, StoredUnit] = {one.unit.leg: one.unit for one in _in_order(written)}
    gaps = []
    for leg, begin in {**permits[0].legs, **permits[-1].legs}.items():
        if (unit := units.get(leg)) is not None:
            last = Position(unit.last.ssrc, unit.last.sequence, unit.last.timestamp)
            gaps.append(NamedGap(leg, unit.epoch, _LAST_NUMBER, Gap(last, last, 0, cause)))
        elif begin is not None:
            gaps.append(NamedGap(leg, NO_EPOCH, _LAST_NUMBER, Gap(begin, begin, 0, cause)))
    return gaps


def manifest(call: str, written: CallLog, gaps: Sequence[NamedGap]) -> bytes:
    """Give the manifest's bytes: RFC 8785 JSON of all units, gaps, permits and pauses.

    Permits are given as they were signed, without the signature: the log vouches for them, whose
    `permit.issued` has the payload's SHA-256, and who reads the store must not hold what the ledger
    gives unit keys for.
    """
    return rfc8785.dumps(
        {
            "call": call,
            "units": [sealed.unit.model_dump(mode="json") for sealed in _in_order(written)],
            "gaps": [gap.fact().model_dump(mode="json") for gap in gaps],
            "permits": [
                {name: found[name] for name in ("payload", "opened_at")}
                for found in written.permits
            ],
            "pauses": written.pauses,
        }
    )


def _in_order(written: CallLog) -> list[SealedUnit]:
    return sorted(
        written.units.values(), key=lambda one: (one.unit.epoch, one.unit.k, one.unit.leg)
    )


def _frame_position(frame: Frame) -> events.Position:
    return events.Position(ssrc=frame.ssrc, sequence=frame.sequence, timestamp=frame.timestamp)


def _fact_position(position: Position) -> events.Position:
    return events.Position(
        ssrc=position.ssrc, sequence=position.sequence, timestamp=position.timestamp
    )
