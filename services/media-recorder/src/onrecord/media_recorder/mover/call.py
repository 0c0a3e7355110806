"""What the mover is told of a call, and what it keeps of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from onrecord.media_recorder.mover.flow import Flow
from onrecord.media_recorder.mover.playback import PlayReport
from onrecord.media_recorder.mover.source import Address


class Bridge(StrEnum):
    """The rule by which the parties begin to hear each other."""

    NOW = "now"
    AFTER_NOTICES = "after_notices"
    ON_PERMIT = "on_permit"
    # The legs are a recording session's streams.
    NEVER = "never"


class MoverRefused(Exception):
    """A command that cannot be done; `reason` is a closed slug."""

    def __init__(self, reason: str) -> None:
        """Refuse for this reason."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LegMedia:
    """What signalling knows of a leg; None where it does not know yet."""

    leg: str
    remote: Address | None = None
    audio: int | None = None
    telephone_event: int | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to play: payload frames of one codec, each `samples` timestamp units long."""

    notice: str
    leg: str
    payload_type: int
    frames: tuple[bytes, ...]
    samples: int
    is_notice: bool


@dataclass(slots=True)
class Call:
    """One call's legs and how they are joined; `tag` is the writer's own, for its successor.

    While `permitted` what is captured goes to the ring. `cut` is the ring's head when the writer
    last ended that; None before, and while it is on.
    """

    call: str
    tag: str
    bridge: Bridge
    flows: dict[str, Flow]
    notices_due: set[str]
    bridged: bool = False
    closed: bool = False
    permitted: bool = False
    cut: int | None = None
    reports: dict[tuple[str, str], PlayReport] = field(default_factory=dict)
