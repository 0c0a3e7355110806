"""One call in the writer: from ring records to frames in the spool, by its gate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from onrecord.contracts.event import format_time
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.spool import OpenUnit, SpoolHeader, UnitName
from onrecord.media_recorder.domain.coverage import loss_of
from onrecord.media_recorder.domain.gate import SERVICE, Captured, Gate, OpenPermit
from onrecord.media_recorder.domain.record import LOSSES, Record
from onrecord.media_recorder.ring import Ring
from onrecord.rtp.storage.unit import UnitHeader


@dataclass(slots=True)
class LegCodec:
    """The codec of a leg: its name, payload type and clock rate in hertz."""

    name: str = ""
    payload_type: int | None = None
    clock_rate: int = 8000
    telephone_event: int | None = None


@dataclass(slots=True)
class CallRecording:
    """Everything the writer knows of one call.

    `epoch` and `k` name the units being written: all legs of a call change units together, so that
    a group of units is told from another by these two alone. `skip` is how far an earlier writer
    got; `renewed`, when its signalling last named it (monotonic seconds). `ending` is why the call
    was closed; `detached` means that the mover, and with it the ring, is gone; `handed_over`, that
    storing has all of it and will remove its spool folder: nothing is written there any more.
    `traceparent` names the span that opened the call: whatever no request asks for is below it.
    """

    call: str
    spool: Path
    gate: Gate
    codecs: dict[str, LegCodec]
    flows: dict[int, str]
    epoch: int
    k: int = 0
    traceparent: str = ""
    renewed: float = 0.0
    skip: dict[int, int] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    units: dict[str, OpenUnit] = field(default_factory=dict)
    unwritten: deque[Captured] = field(default_factory=deque)
    group_since: float = 0.0
    ending: str | None = None
    detached: bool = False
    handed_over: bool = False
    failed: bool = False

    @property
    def log_path(self) -> Path:
        """The call's log in the spool."""
        return self.spool / self.call / "log"

    @property
    def open_permit(self) -> OpenPermit | None:
        """The permit that is or was last in force."""
        return self.gate.permit

    def take(self, position: int, record: Record) -> None:
        """Take the next ring record of this call, in the order of the ring."""
        if position < self.skip.get(record.flow, 0):
            return
        self.seen[record.flow] = position + 1
        kept = self.gate.offer(Captured(self.flows[record.flow], position, record))
        if kept is not None:
            self.unwritten.append(kept)

    def open(self, opening: OpenPermit) -> None:
        """Open the gate by a verified permit that the mover has kept."""
        self.unwritten.extend(self.gate.open(opening))

    def write(self, now: float) -> bool:
        """Write what may be kept; False if it must wait for a unit key. Raises OSError."""
        opened = self.open_permit
        if opened is None or not self.unwritten:
            return True
        self._write_losses()
        by_leg: dict[str, list[tuple[int, Record]]] = {}
        for captured in self.unwritten:
            by_leg.setdefault(captured.leg, []).append((captured.position, captured.record))
        for leg, records in by_leg.items():
            unit = self.units.get(leg)
            if unit is None:
                if opened.key_missing:
                    return False
                unit = self._begin(leg, records[0][1], opened, now)
            unit.append(records)
            # A leg that is done must not be written again should the next one fail.
            self.unwritten = deque(one for one in self.unwritten if one.leg != leg)
        return True

    def report_progress(self, ring: Ring) -> None:
        """Say in the ring how far each flow was written or dropped."""
        for flow, seen in self.seen.items():
            leg = self.flows[flow]
            waiting = [one.position for one in self.unwritten if one.leg == leg][:1]
            early = [one.position for one in self.gate.early if one.leg == leg][:1]
            ring.decide(flow, min([seen, *waiting, *early]))

    @property
    def oldest_undecided(self) -> int | None:
        """The ring position that the tail must not pass."""
        undecided = chain(self.unwritten, self.gate.early)
        return min((one.position for one in undecided), default=None)

    def end_group(self) -> list[UnitName]:
        """Close the units being written and name them; what follows goes into new ones."""
        names = [unit.name for unit in self.units.values()]
        for unit in self.units.values():
            unit.close()
        self.units.clear()
        if names:
            self.k += 1
        return names

    def _write_losses(self) -> None:
        """Put into the call's log what is missing of what may be kept. Raises OSError."""
        losses = [one for one in self.unwritten if one.record.kind in LOSSES]
        if not losses:
            return
        lines = [call_log.loss_line(one.leg, loss_of(one.record)) for one in losses]
        call_log.append(self.log_path, lines)
        self.unwritten = deque(one for one in self.unwritten if one.record.kind not in LOSSES)

    def _begin(self, leg: str, first: Record, opened: OpenPermit, now: float) -> OpenUnit:
        if not self.units:
            self.group_since = now
        name = UnitName(self.call, leg, self.epoch, self.k)
        number = opened.next_key
        codec = self.codecs[leg.removeprefix(SERVICE)]
        unit = OpenUnit(
            self.spool,
            name,
            SpoolHeader(
                UnitHeader(
                    self.call,
                    leg,
                    self.epoch,
                    self.k,
                    codec.name,
                    codec.clock_rate,
                    opened.permit.permit_id,
                    utc_text(first.arrival_ns),
                ),
                f"{opened.permit.permit_id}/{number}",
                opened.signed.payload,
                opened.signed.signature,
            ),
            opened.keys[number],
        )
        opened.next_key = number + 1
        self.units[leg] = unit
        return unit


def utc_text(utc_ns: int) -> str:
    """Write nanoseconds of UTC as every time is written."""
    return format_time(datetime.fromtimestamp(utc_ns // 1000 / 1e6, UTC))
