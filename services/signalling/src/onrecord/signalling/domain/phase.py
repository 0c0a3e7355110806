"""The phases of a call, and the groups of them that mean something."""

from __future__ import annotations

from enum import Enum, auto


class Phase(Enum):
    """Where a call stands."""

    OPENING = auto()
    DIALLING = auto()
    CONNECTING = auto()
    ANSWERING = auto()
    INFORMING = auto()
    PERMITTING = auto()
    GATING = auto()
    RECORDING = auto()
    PAUSED = auto()
    UNRECORDED = auto()
    OVER = auto()


BEFORE_ANSWER = frozenset({Phase.OPENING, Phase.DIALLING, Phase.CONNECTING})
BEFORE_GATE = frozenset({Phase.INFORMING, Phase.PERMITTING, Phase.GATING})
