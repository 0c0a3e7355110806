"""The gate of one call: a state machine whose state is what the mover's tag says.

Each change is made here and sent to the mover in the same step, and the mover takes its commands in
order. So its tag is the last state that was decided, whatever is still under way, and the writer
that follows a killed one reads it there. Opening waits for the mover (`ask`, then `open`); shutting
waits for nothing: a stop that comes while a permit is under way has won.

I1: a record is kept only under a permit that names its leg, and on a person's leg only from the
permit's position on. I10: what was shut is cut at the place in the ring that the mover named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from onrecord.ledger.permit import Permit, SignedPermit
from onrecord.media_recorder.domain.record import LOSSES, Record
from onrecord.platform.errors import Refused

SERVICE: Final = "service-"


class State(StrEnum):
    """Whether frames are kept."""

    # No permit yet: what there is waits in the mover.
    WAITING = "waiting"
    OPEN = "open"
    # Another permit may open it again.
    PAUSED = "paused"
    ENDED = "ended"


class Captured(NamedTuple):
    """A record of one leg and its place in the ring."""

    leg: str
    position: int
    record: Record


@dataclass(slots=True)
class OpenPermit:
    """A permit that opens, opened or is to open the gate, with the keys that came with it."""

    permit: Permit
    signed: SignedPermit
    keys: dict[int, bytes]
    next_key: int = 0

    @property
    def key_missing(self) -> bool:
        """True when the next unit has no key yet."""
        return self.next_key not in self.keys


@dataclass(slots=True)
class Gate:
    """Decides for every captured record of a call, in the order of the ring.

    `permit` is the last that opened the gate, `asked` one that will when the mover has kept it;
    `used` are all that were ever asked: each opens once. `cause` says why the gate was last shut.
    `cut` is the ring position that ends what `permit` allows; None while open, and until the mover
    has named it.
    """

    state: State = State.WAITING
    permit: OpenPermit | None = None
    asked: OpenPermit | None = None
    used: set[str] = field(default_factory=set)
    cause: str = ""
    cut: int | None = None
    # Put into the ring by a mover whose answer is still under way; its deadline bounds them.
    early: list[Captured] = field(default_factory=list)

    @property
    def told(self) -> State:
        """The state that the mover was told last."""
        return State.OPEN if self.asked is not None else self.state

    def is_open_by(self, permit_id: str) -> bool:
        """Say whether this permit holds the gate open."""
        opened = self.permit
        return (
            self.state is State.OPEN and opened is not None and opened.permit.permit_id == permit_id
        )

    def ask(self, opening: OpenPermit) -> None:
        """Begin to open by a verified permit; the mover is to be told now. Raises `Refused`."""
        permit_id = opening.permit.permit_id
        if self.state is State.ENDED:
            raise Refused("recording_ended", "the recording was stopped for good")
        if self.asked is not None and self.asked.permit.permit_id == permit_id:
            return  # Asked twice at once: the first answer opens.
        if self.told is State.OPEN:
            raise Refused("gate_open", "the gate is open by another permit")
        if permit_id in self.used:
            raise Refused("permit_used", f"{permit_id} opened the gate before")
        self.asked = opening
        self.used.add(permit_id)

    def open(self, opening: OpenPermit) -> list[Captured]:
        """Open by the permit that was asked for; give what came early and may be kept."""
        self.state, self.permit, self.asked, self.cut = State.OPEN, opening, None, None
        early, self.early = self.early, []
        return [captured for captured in early if permitted(opening.permit, captured)]

    def withdraw(self, opening: OpenPermit) -> bool:
        """Take the asking back, for the mover did not hear it; False if it is over already."""
        if self.asked is not opening:
            return False
        self.asked = None
        self.early.clear()
        self.used.discard(opening.permit.permit_id)
        return True

    def shut(self, state: State, cause: str) -> bool:
        """Shut for now or for good, whatever is under way; True if the gate was open."""
        was_open = self.state is State.OPEN
        self.asked = None
        self.early.clear()
        if self.state is not State.ENDED:
            self.state, self.cause = state, cause
        return was_open

    def cut_at(self, position: int) -> None:
        """Keep nothing from this ring position on; the earliest counts.

        One that comes when the gate is being opened again is of the past.
        """
        if self.told is not State.OPEN:
            self.cut = position if self.cut is None else min(position, self.cut)

    def offer(self, captured: Captured) -> Captured | None:
        """Take the next record; give it back if it is to be written."""
        if self.asked is not None:
            self.early.append(captured)
            return None
        if self.permit is None or (self.cut is not None and captured.position >= self.cut):
            return None
        return captured if permitted(self.permit.permit, captured) else None

    def is_read_out(self, position: int) -> bool:
        """Say whether no record from this ring position on can still be kept."""
        if self.asked is not None:
            return False
        return self.permit is None or (self.cut is not None and position >= self.cut)


def permitted(permit: Permit, captured: Captured) -> bool:
    """Say whether the permit covers this record.

    An SSRC other than the permit's was first seen after the notice: the mover captures no other.
    """
    if captured.leg not in permit.legs:
        return False
    position = permit.legs[captured.leg]
    if position is None or position.ssrc != captured.record.ssrc:
        return True
    # A run of lost packets may begin before the position and end after it.
    return captured.record.kind in LOSSES or captured.record.sequence >= position.sequence
