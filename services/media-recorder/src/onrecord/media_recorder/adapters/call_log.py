"""`<spool>/<call>/log`: what of a call was sealed, lost, allowed and paused, line by line.

It holds no audio, no key and no personal data. It lives until the call's last fact is committed:
from it the manifest and the gaps are made, whoever wrote the units and however often they
restarted.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from onrecord.contracts.events import StoredUnit
from onrecord.ledger.permit import Position
from onrecord.media_recorder.domain.coverage import Coverage, Loss

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SealedUnit:
    """A unit whose object's bytes were made: as the ledger will list it, and what it covers."""

    unit: StoredUnit
    permit_id: str
    coverage: Coverage


@dataclass(slots=True)
class CallLog:
    """All lines of a call's log, read back; a unit sealed twice counts as it was last.

    A loss has its leg and how many permits had opened the gate when it was told.
    """

    permits: list[Json] = field(default_factory=list)
    pauses: list[Json] = field(default_factory=list)
    losses: list[tuple[str, int, Loss]] = field(default_factory=list)
    units: dict[tuple[str, int, int], SealedUnit] = field(default_factory=dict)
    closed: str | None = None
    traceparent: str = ""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a log; a torn line is passed over. Raises OSError."""
        log = cls()
        if not path.exists():
            return log
        for line in path.read_bytes().split(b"\n"):
            # A line that is cut or altered is passed over; what it told is then missing, and
            # whoever needs it says so.
            with contextlib.suppress(ValueError, TypeError):
                log._take(json.loads(line))
        return log

    def received_last(self, permit_id: str, leg: str) -> Position | None:
        """Give the last packet that a leg had received when a permit's gate was shut."""
        for pause in self.pauses:
            found = pause.get("received", {}).get(leg)
            if pause["permit_id"] == permit_id and found is not None:
                return Position(**found)
        return None

    def _take(self, found: Json) -> None:
        match found:
            case {"permit": permit}:
                self.permits.append(permit)
            case {"pause": pause}:
                self.pauses.append(pause)
            case {"loss": loss, "leg": leg}:
                self.losses.append((leg, len(self.permits), Loss(**loss)))
            case {"unit": unit, "permit_id": permit_id, "coverage": coverage}:
                sealed = SealedUnit(
                    StoredUnit.model_validate(unit), permit_id, Coverage.load(coverage)
                )
                self.units[sealed.unit.leg, sealed.unit.epoch, sealed.unit.k] = sealed
            case {"traceparent": str(traceparent)}:
                self.traceparent = traceparent
            case {"closed": cause}:
                self.closed = self.closed or cause


def permit_line(payload: bytes, signature: bytes, opened_at: str) -> Json:
    """A permit opened the gate."""
    text = {"payload": payload.decode(), "signature": signature.hex(), "opened_at": opened_at}
    return {"permit": text}


def trace_line(traceparent: str) -> Json:
    """What is done for the call in the background is below this span."""
    return {"traceparent": traceparent}


def pause_line(permit_id: str, cause: str, at: str, received: Mapping[str, Json | None]) -> Json:
    """The gate closed, for now or for good; `received` is how far each leg had come, if known."""
    return {"pause": {"permit_id": permit_id, "cause": cause, "at": at, "received": received}}


def loss_line(leg: str, loss: Loss) -> Json:
    """Packets are missing for a reason that is known."""
    return {"leg": leg, "loss": loss._asdict()}


def unit_line(sealed: SealedUnit) -> Json:
    """A unit's object was made."""
    return {
        "unit": sealed.unit.model_dump(mode="json"),
        "permit_id": sealed.permit_id,
        "coverage": sealed.coverage.dump(),
    }


def closed_line(cause: str) -> Json:
    """Nothing more will be captured of the call."""
    return {"closed": cause}


def append(path: Path, lines: list[Json]) -> None:
    """Add lines, durably. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        # A line that a crash cut short must not swallow the next one.
        file.write(b"\n" + text.encode())
        file.flush()
        os.fdatasync(descriptor)
