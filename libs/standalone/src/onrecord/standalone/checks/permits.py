"""Checks of the audio against the permits, for a call whatever befell it.

A call may have no permit or several, and lose what it loses: each frame that is kept lies within a
permit (invariant I1), and each that was permitted and delivered is kept once or has a gap with a
cause (I2). The checks of `audio` say more of a call to which nothing happened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from onrecord.ledger.canonical import CanonicalEntry
from onrecord.ledger.permit import STREAMS
from onrecord.rtp.storage.unit import Frame
from onrecord.softphone.media import MediaFrame
from onrecord.standalone.checks.frames import (
    CODECS,
    SEQUENCES,
    Number,
    by_number,
    in_span,
    is_before,
    number_of,
)
from onrecord.standalone.checks.observed import PARTIES, Broken, Observed, StoredUnit

TAIL_NS = 100_000_000
"""Frames sent so long before the call's end were certainly delivered."""

MAX_DROPOUT = 3000
"""How far a source's numbers may jump and still be the same run (RFC 3550 A.1)."""

OPEN_ENDED = frozenset({"mover_lost", "recorder_lost"})
"""Causes of gaps that reach from their position to the end of what the permit allowed."""


@dataclass(frozen=True)
class UsedPermit:
    """A permit that opened the gate; `until` is what a leg had received when it was shut.

    `is_resumed`: its positions may lie before the pause, in which nothing was to be kept.
    """

    id: str
    index: int
    relied_on: tuple[str, ...]
    first_kept: dict[str, dict[str, int] | None]
    until: dict[str, dict[str, int] | None]
    is_resumed: bool = False


def kept_by_permit(seen: Observed) -> str:
    """Each frame that is kept is named by a permit, as is its place in the log (I1)."""
    permits = {permit.id: permit for permit in _permits(seen)}
    for permit in permits.values():
        _all_told(seen, permit)
    counted = 0
    for unit in seen.units:
        found = permits.get(unit.header.permit_id)
        if found is None:
            raise Broken(f"{unit.listed['object_key']} was kept by no permit that was used")
        if unit.header.leg not in found.first_kept:
            raise Broken(f"leg {unit.header.leg} is kept, but its permit does not name it")
        for frame in unit.frames:
            _within(seen, unit, frame, found)
            counted += 1
    return f"{counted} frames lie within {len(permits)} permits"


def losses_named(seen: Observed) -> str:
    """What was permitted and delivered is kept once, as it was sent, or has a gap's name (I2)."""
    total = 0
    for party in (*PARTIES, *STREAMS):
        frames = seen.frames(party)
        kept = {number_of(frame): frame for frame in frames}
        if len(kept) != len(frames):
            raise Broken(f"{len(frames) - len(kept)} frames of the {party} were kept twice")
        sent = by_number(seen.phones[party].sent) if party in seen.phones else {}
        for number, frame in kept.items():
            original = sent.get(number)
            if original is None or original.payload != frame.payload:
                raise Broken(f"frame {frame.sequence} of the {party} is not as it was sent")
        missing = [
            frame
            for permit in _permits(seen)
            for frame in _until_failure(seen, kept.keys(), _due(seen, permit, party))
            if number_of(frame) not in kept
            and not _is_named(seen, party, frame.ssrc, frame.sequence)
        ]
        if missing:
            numbers = [frame.sequence for frame in missing]
            raise Broken(f"frames {_shown(numbers)} of the {party} are missing without a name")
        total += len(kept)
    return f"{total} frames equal what was said, {len(_causes(seen))} gaps have a name"


def gaps_named(seen: Observed) -> str:
    """No number is missing among a source's kept frames that no gap names."""
    kept: dict[tuple[str, str, int], set[int]] = defaultdict(set)
    for unit in seen.units:
        for frame in unit.frames:
            place = (unit.header.permit_id, unit.header.leg, frame.ssrc)
            kept[place].add(frame.sequence)
    for (_, leg, ssrc), sequences in kept.items():
        for before, after in pairwise(sorted(sequences)):
            missing = range(before + 1, after)
            # A longer jump may be a sender that began anew (RFC 3550 A.1).
            if len(missing) > MAX_DROPOUT:
                continue
            unnamed = [number for number in missing if not _is_named(seen, leg, ssrc, number)]
            if unnamed:
                raise Broken(f"frames {_shown(unnamed)} of {leg} are missing without a name")
    return f"{len(kept)} runs of frames, {len(_causes(seen))} gaps have a name"


def verdict_fits(seen: Observed) -> str:
    """The verdict names the cause of every gap, and says no more than what is kept."""
    verdict = seen.verdict.fields
    said, causes = verdict["verdict"], set(verdict.get("causes", ()))
    if unnamed := set(_causes(seen)) - causes:
        raise Broken(f"the verdict does not name {sorted(unnamed)}")
    if (said in ("recorded", "partly_recorded")) != bool(seen.units):
        raise Broken(f"the verdict is {said}, {len(seen.units)} units are kept")
    if (said in ("partly_recorded", "failed")) != bool(causes):
        raise Broken(f"the verdict is {said} for the causes {sorted(causes)}")
    return f"{said} {', '.join(sorted(causes))}".rstrip()


def _permits(seen: Observed) -> Iterator[UsedPermit]:
    issued = {entry.fields["permit_id"]: entry for entry in seen.of_type("permit.issued")}
    shut = {
        entry.fields["permit_id"]: _positions(entry, "position")
        for entry in seen.of_type("recording.paused", "recording.stopped")
    }
    for opened in seen.of_type("recording.started", "recording.resumed"):
        name = opened.fields["permit_id"]
        if name not in issued or issued[name].index > opened.index:
            raise Broken(f"the gate was opened by {name}, which does not stand before it")
        entry = issued[name]
        yield UsedPermit(
            name,
            entry.index,
            tuple(entry.fields["relied_on"]),
            _positions(entry, "first_kept"),
            shut.get(name, {}),
            opened.type == "recording.resumed",
        )


def _positions(entry: CanonicalEntry, name: str) -> dict[str, dict[str, int] | None]:
    return {leg["leg"]: leg.get(name) for leg in entry.fields.get("legs", ())}


def _all_told(seen: Observed, permit: UsedPermit) -> None:
    told = {
        given.fields["party"]
        for given in seen.of_type("notice.given")
        if given.event_id in permit.relied_on and given.index < permit.index
    }
    if not told.issuperset(PARTIES):
        raise Broken(f"{permit.id} relies on notices to {sorted(told)} only")


def _within(seen: Observed, unit: StoredUnit, frame: Frame, permit: UsedPermit) -> None:
    leg = unit.header.leg
    if is_before(frame, permit.first_kept[leg]):
        raise Broken(f"frame {frame.sequence} of {leg} is before the permit's")
    until = permit.until.get(leg)
    if until and frame.ssrc == until["ssrc"] and frame.sequence > until["sequence"]:
        raise Broken(f"frame {frame.sequence} of {leg} came after the gate was shut")
    if leg not in (*PARTIES, *STREAMS) and not any(
        in_span(frame, span) for _, span in seen.spans() if span["leg"] == leg
    ):
        raise Broken(f"frame {frame.sequence} of {leg} is of no notice on record")


def _due(seen: Observed, permit: UsedPermit, party: str) -> list[MediaFrame]:
    """The frames of a party that this permit allows and that certainly arrived."""
    tape = seen.phones.get(party)
    if tape is None or party not in permit.first_kept:
        return []
    begin = None if permit.is_resumed else permit.first_kept[party]
    begin = begin or _first_of(seen, permit, party)
    if begin is None:
        return []
    end_ns = min(one.ended_ns for one in seen.phones.values()) - TAIL_NS
    until = permit.until.get(party)
    length = SEQUENCES // 2
    if until and until["ssrc"] == begin["ssrc"]:
        length = until["sequence"] - begin["sequence"] + 1
    return [
        frame
        for frame in tape.sent
        if frame.ssrc == begin["ssrc"]
        and (frame.sequence - begin["sequence"]) % SEQUENCES < length
        and frame.time_ns < end_ns
        and frame.payload_type in CODECS
    ]


def _until_failure(
    seen: Observed, kept: Collection[Number], due: list[MediaFrame]
) -> list[MediaFrame]:
    """What is due of a recording that was given up: `recording.failed` names all after it."""
    if not seen.of_type("recording.failed"):
        return due
    places = [at for at, frame in enumerate(due) if number_of(frame) in kept]
    return due[: max(places, default=-1) + 1]


def _first_of(seen: Observed, permit: UsedPermit, party: str) -> dict[str, int] | None:
    """The first frame kept by a permit that leaves it open: nothing had been received by then."""
    frames = [
        frame
        for unit in seen.units
        if unit.header.leg == party and unit.header.permit_id == permit.id
        for frame in unit.frames
    ]
    first = min(frames, key=lambda frame: frame.arrival_ns, default=None)
    return None if first is None else {"ssrc": first.ssrc, "sequence": first.sequence}


def _causes(seen: Observed) -> list[str]:
    return [gap.fields["cause"] for gap in seen.of_type("recording.gap")]


def _is_named(seen: Observed, leg: str, ssrc: int, sequence: int) -> bool:
    return any(
        _covers(gap.fields, ssrc, sequence)
        for gap in seen.of_type("recording.gap")
        if gap.fields["leg"] == leg
    )


def _covers(gap: Mapping[str, Any], ssrc: int, sequence: int) -> bool:
    first, last = gap["first"], gap["last"]
    distance = (sequence - first["sequence"]) % SEQUENCES
    length = last["sequence"] - first["sequence"]
    if gap["cause"] in OPEN_ENDED:
        length = SEQUENCES // 2
    return bool(ssrc == first["ssrc"] and distance <= length)


def _shown(numbers: list[int]) -> str:
    few = ", ".join(map(str, numbers[:8]))
    return few if len(numbers) <= 8 else f"{few} … ({len(numbers)})"
