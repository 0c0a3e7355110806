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
SETTLING = frozenset({Phase.CONNECTING, Phase.ANSWERING, Phase.INFORMING})
"""While the parties are being joined and told, nothing about their media may change."""
BEFORE_GATE = frozenset({Phase.INFORMING, Phase.PERMITTING, Phase.GATING})
