"""A call as the index holds it: a summary to search by, and every fact in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    """The summary of a call: the fold of its facts up to `last_seq` (-1: none yet).

    Times are as `onrecord.contracts.event.format_time` writes them, so that their order as text is
    their order in time; what is not known is empty. `identifiers` are those by which other systems
    know the call: as they are (a UCID), or the SHA-256 of a SIP id.
    """

    call: str
    last_seq: int = -1
    started_at: str = ""
    answered_at: str = ""
    ended_at: str = ""
    end_cause: str = ""
    sip_code: int = 0
    kind: str = ""
    direction: str = ""
    line: str = ""
    business_unit: str = ""
    verdict: str = ""
    causes: tuple[str, ...] = ()
    rule: str = ""
    kept_seconds: Mapping[str, float] = field(default_factory=dict)
    weakest_grade: str = ""
    identifiers: tuple[str, ...] = ()

    @property
    def longest_kept_seconds(self) -> float:
        """How much is kept of the party of whom most is kept; our own announcements apart."""
        voices = (
            seconds for leg, seconds in self.kept_seconds.items() if not leg.startswith("service-")
        )
        return max(voices, default=0.0)

    @property
    def was_never_answered(self) -> bool:
        """Whether the call is over and nobody took it."""
        return bool(self.ended_at) and not self.answered_at


@dataclass(frozen=True)
class TimelineFact:
    """One committed fact: the open fields as JSON text, of the sealed ones only the names."""

    index: int
    seq: int
    event_id: str
    type: str
    time: str
    recorded_at: str
    fields_json: str
    sealed: tuple[str, ...]
