"""What is kept and what is named as missing are together all that a permit allowed, each once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.contracts.events import RecordingStored, StoredUnit
from onrecord.ledger.permit import Permit, Position, encode
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.call_log import CallLog, SealedUnit
from onrecord.media_recorder.domain.coverage import MAX_GAPS, Coverage, Loss, loss_of
from onrecord.media_recorder.domain.record import Kind, Record
from onrecord.media_recorder.listing import NamedGap, manifest, named_gaps
from onrecord.media_recorder.mover.flow import Flow
from onrecord.media_recorder.mover.tee import Tee
from onrecord.rtp.packet import Packet
from onrecord.rtp.stream import OutboundStream

NOW = datetime(2026, 11, 23, tzinfo=UTC)
Number = tuple[int, int]


def permit(number: int = 0, **legs: Position | None) -> Permit:
    """The n-th permit of a call."""
    later = NOW + timedelta(seconds=30)
    return Permit(
        f"c1:p{number}", "c1", legs, ("caller", "agent"), "uk/1", ("e",), "*", NOW, later, "k"
    )


def unit(
    leg: str, numbers: Sequence[int], *, k: int = 0, ssrc: int = 7, permit_number: int = 0
) -> SealedUnit:
    """A unit of these packets, 160 samples each, in the epoch of its permit."""
    coverage = Coverage()
    for number in numbers:
        coverage.add(ssrc, number, number * 160 % 2**32)
    ends = [{"ssrc": ssrc, "sequence": n, "timestamp": n * 160 % 2**32} for n in numbers]
    stored = StoredUnit.model_validate(
        RecordingStored.EXAMPLE["units"][0]  # type: ignore[index]
        | {"leg": leg, "epoch": 17 + permit_number, "k": k, "first": ends[0], "last": ends[-1]}
    )
    return SealedUnit(stored, f"c1:p{permit_number}", coverage)


def log_of(
    path: Path,
    permits: Sequence[Permit],
    units: Sequence[SealedUnit] = (),
    losses: Sequence[tuple[str, Loss]] = (),
    received: dict[str, dict[str, Position | None]] | None = None,
) -> CallLog:
    """A call's log as its writer left it; `received` is, by permit, what had come at its end."""
    path.unlink(missing_ok=True)
    lines = [call_log.permit_line(encode(one), b"signature", "x") for one in permits]
    lines += [call_log.loss_line(leg, loss) for leg, loss in losses]
    lines += [call_log.unit_line(one) for one in units]
    for permit_id, legs in (received or {}).items():
        places = {leg: place and _as_json(place) for leg, place in legs.items()}
        lines.append(call_log.pause_line(permit_id, "call_ended", "x", places))
    call_log.append(path, lines)
    return CallLog.read(path)


def _as_json(place: Position) -> dict[str, int]:
    return {"ssrc": place.ssrc, "sequence": place.sequence, "timestamp": place.timestamp}


def told(gaps: Sequence[NamedGap]) -> list[tuple[str, int, int, int, str]]:
    """Leg, first and last number, packets and cause of each gap."""
    return [
        (leg, gap.first.sequence, gap.last.sequence, gap.packets, gap.cause)
        for leg, _, _, gap in gaps
    ]


def at(sequence: int, ssrc: int = 7) -> Position:
    """The position of a packet."""
    return Position(ssrc, sequence, sequence * 160 % 2**32)


def test_a_ring_that_is_full_to_the_end_is_named(tmp_path: Path) -> None:
    """The last packets were received and found no room: by word of it, and without."""
    received: dict[str, dict[str, Position | None]] = {"c1:p0": {"caller": at(9)}}
    units = [unit("caller", [5, 6])]
    losses = [("caller", Loss(7, 7, 8, "ring_full"))]
    written = log_of(tmp_path / "log", [permit(caller=at(5))], units, losses, received)
    gaps = named_gaps(written, "call_ended")
    assert told(gaps) == [
        ("caller", 7, 8, 2, "ring_full"),
        ("caller", 9, 9, 1, "not_captured"),
    ]
    assert [gap.gap.first.timestamp for gap in gaps] == [7 * 160, 9 * 160]


def test_what_waited_too_long_before_the_first_frame_is_named(tmp_path: Path) -> None:
    """The permit came late and names no position: the packets that were dropped are a gap."""
    losses = [("caller", Loss(7, 100, 149, "hold_overflow"))]
    units = [unit("caller", [150, 151])]
    written = log_of(tmp_path / "log", [permit(caller=None)], units, losses)
    (gap,) = named_gaps(written, "call_ended")
    assert told([gap]) == [("caller", 100, 149, 50, "hold_overflow")]
    assert gap.gap.first.timestamp == 100 * 160


def test_what_was_lost_before_the_permits_position_is_not_missing(tmp_path: Path) -> None:
    """A notice was repeated: what was lost after the first one nobody was going to keep."""
    losses = [("caller", Loss(7, 10, 19, "ring_full")), ("caller", Loss(7, 95, 104, "ring_full"))]
    units = [unit("caller", [105, 106])]
    written = log_of(tmp_path / "log", [permit(caller=at(100))], units, losses)
    assert told(named_gaps(written, "call_ended")) == [("caller", 100, 104, 5, "ring_full")]
    silent = log_of(tmp_path / "log", [permit(caller=at(100))], (), losses[:1])
    assert named_gaps(silent, "call_ended") == []


def test_a_leg_of_which_nothing_is_kept_has_its_losses_named(tmp_path: Path) -> None:
    """By word of the loser or by how far the leg had come, where no unit was ever written."""
    losses = [("agent", Loss(8, 40, 49, "ring_full", 6400))]
    received: dict[str, dict[str, Position | None]] = {
        "c1:p0": {"agent": at(49, 8), "caller": at(29)}
    }
    legs = {"caller": at(20), "agent": None}
    written = log_of(tmp_path / "log", [permit(**legs)], (), losses, received)
    assert sorted(told(named_gaps(written, "call_ended"))) == [
        ("agent", 40, 49, 10, "ring_full"),
        ("caller", 20, 29, 10, "not_captured"),
    ]


def test_a_recorder_that_died_before_the_first_frame_is_named(tmp_path: Path) -> None:
    """A leg without a unit has an open end from the permit's position on."""
    legs = {"caller": at(20), "agent": None}
    written = log_of(tmp_path / "log", [permit(**legs)], [unit("agent", [5, 6])])
    assert sorted(told(named_gaps(written, "recorder_lost"))) == [
        ("agent", 6, 6, 0, "recorder_lost"),
        ("caller", 20, 20, 0, "recorder_lost"),
    ]


def test_nothing_is_missing_of_a_pause(tmp_path: Path) -> None:
    """Between two permits nothing was to be kept, nor after the last was shut."""
    units = [unit("caller", [5, 6]), unit("caller", [50, 51], permit_number=1)]
    received: dict[str, dict[str, Position | None]] = {
        "c1:p0": {"caller": at(6)},
        "c1:p1": {"caller": at(51)},
    }
    permits = [permit(caller=at(5)), permit(1, caller=at(5))]
    written = log_of(tmp_path / "log", permits, units, (), received)
    assert named_gaps(written, "recorder_lost") == []


def test_the_manifest_opens_nothing(tmp_path: Path) -> None:
    """The store's reader finds what was permitted, and no signature to ask unit keys with."""
    allowed = permit(caller=at(5))
    body = manifest("c1", log_of(tmp_path / "log", [allowed]), [])
    assert b"signature" not in body
    assert json.loads(body)["permits"] == [{"payload": encode(allowed).decode(), "opened_at": "x"}]


@dataclass
class Network:
    """What becomes of the packets of one sender, on their way and in the ring."""

    first: int
    fates: list[tuple[str, int]]
    room: list[bool]
    sources: list[int] = field(default_factory=lambda: [7])

    def deliveries(self) -> Iterator[Packet]:
        """The packets as they arrive: lost, doubled and late ones as their fates say."""
        waiting: list[tuple[int, int, Packet]] = []
        for place, (fate, delay) in enumerate(self.fates):
            ssrc = self.sources[place * len(self.sources) // len(self.fates)]
            number = self.first + place
            packet = Packet(0, number % 65536, number * 160 % 2**32, ssrc, b"x")
            if fate != "lost":
                waiting.append((place + delay if fate == "late" else place, place, packet))
            if fate == "doubled":
                waiting.append((place + delay, place, packet))
        for _, _, packet in sorted(waiting, key=lambda one: one[:2]):
            yield packet


@dataclass
class Recorded:
    """A leg in front of the ring, and the ring as its writer finds it."""

    network: Network
    records: list[Record] = field(default_factory=list)
    delivered: list[Number] = field(default_factory=list)

    def put(self, record: Record) -> bool:
        """Take a record, while there is room."""
        has_room = self.network.room[len(self.delivered) % len(self.network.room)]
        if has_room:
            self.records.append(record)
        return has_room

    def run(self, notice: int) -> tuple[Position | None, Position | None]:
        """Let all packets arrive, the notice ending before the n-th; give begin and end."""
        flow, tee = Flow(0, "c1", "caller", OutboundStream(1, 1, 1, 8000)), Tee(self)
        begin = None
        for place, packet in enumerate(self.network.deliveries()):
            if place == notice:
                flow.notice_ended()
                if (last := flow.received) is not None:
                    begin = Position(last.ssrc, last.sequence + 1, last.timestamp)
            extended = flow.note(packet, 0)
            record = flow.record(packet, extended, 10**18)
            if record is not None:
                self.delivered.append((record.ssrc, record.sequence))
                tee.put(record)
        if not flow.capturing:
            return None, None
        # What found no room to the end is told by the mover itself.
        self.records += tee.untold(0)
        return begin, flow.received

    def written(self, path: Path, begin: Position | None, until: Position | None) -> CallLog:
        """The call's log after all records were written, in units of seven frames."""
        frames = [record for record in self.records if record.kind is Kind.FRAME]
        losses = [("caller", loss_of(lost)) for lost in self.records if lost.kind is Kind.LOST]
        units = []
        for k, start in enumerate(range(0, len(frames), 7)):
            some = frames[start : start + 7]
            coverage = Coverage()
            for one in some:
                coverage.add(one.ssrc, one.sequence, one.timestamp)
            sealed = unit("caller", [one.sequence for one in some], k=k)
            units.append(SealedUnit(sealed.unit, sealed.permit_id, coverage))
        return log_of(path, [permit(caller=begin)], units, losses, {"c1:p0": {"caller": until}})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the log of each example is written."""
    return tmp_path_factory.mktemp("listing") / "log"


FATES = st.tuples(st.sampled_from(["there"] * 5 + ["lost", "late", "doubled"]), st.integers(0, 6))


NETWORKS = st.builds(
    Network,
    st.sampled_from([2000, 65530, 65536 * 3 - 4]),
    st.lists(FATES, min_size=1, max_size=60),
    st.lists(st.booleans(), min_size=1, max_size=12),
    st.sampled_from([[7], [7, 8]]),
)


@given(NETWORKS, st.integers(0, 20))
def test_kept_and_missing_are_all_that_was_permitted(
    path: Path, network: Network, notice: int
) -> None:
    """Over loss, duplicates, reordering, wraps, a new source and a full ring: kept or named, once.

    What counts begins at the notice's end and ends with what was received last.
    """
    recorded = Recorded(network)
    begin, until = recorded.run(notice)
    if until is None:
        return
    gaps = named_gaps(recorded.written(path, begin, until), "call_ended")
    kept = [(one.ssrc, one.sequence) for one in recorded.records if one.kind is Kind.FRAME]
    named = [
        (gap.gap.first.ssrc, number)
        for gap in gaps
        for number in range(gap.gap.first.sequence, gap.gap.last.sequence + 1)
    ]
    assert len(gaps) <= MAX_GAPS
    twice = [number for number, times in Counter(kept + named).items() if times > 1]
    assert twice == []
    assert set(kept) | set(named) >= set(recorded.delivered)
    for ssrc in {source for source, _ in kept + named}:
        numbers = sorted(number for source, number in kept + named if source == ssrc)
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert begin is None or ssrc != begin.ssrc or numbers[0] >= begin.sequence
        if until.ssrc == ssrc:
            assert numbers[-1] == until.sequence
