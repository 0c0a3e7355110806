"""The grade of a notice: what the recorder's play report proves about a prompt.

B means sent intact: every packet of the approved prompt left for the party, in order, unaltered.
A better grade needs an answer of the party or of the next hop, which a play report does not hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from onrecord.announcement.domain.prompt import Prompt
from onrecord.contracts.events import Grade, Position

_SLUG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class PlayReport:
    """What the recorder says that it sent on one leg.

    `first_sequence` and `last_sequence` are extended (RFC 3550 appendix A.1); `octets` and
    `payload_sha256` cover the RTP payloads in the order sent; `received` is how far the leg's own
    audio had come at the end. Times are as `onrecord.contracts.event.format_time` writes them.
    """

    notice_id: str
    leg: str
    complete: bool
    reason: str
    ssrc: int
    first_sequence: int
    last_sequence: int
    packets: int
    octets: int
    payload_sha256: str
    received: Position | None
    started_at: str
    ended_at: str


@dataclass(frozen=True)
class Told:
    """The party was told, with evidence of this grade."""

    grade: Grade


@dataclass(frozen=True)
class NotTold:
    """The party was not told as the prompt's words would have it; `reason` is a closed slug."""

    reason: str


def grade(report: PlayReport, prompt: Prompt) -> Told | NotTold:
    """Compare the report with the prompt, field by field; whatever does not fit is not a notice.

    Checks neither who the report is about nor its times. G.711 is what the octets are counted in:
    one octet a sample.
    """
    if not report.complete:
        return NotTold(report.reason if _SLUG.fullmatch(report.reason) else "incomplete")
    if report.packets != prompt.packets:
        return NotTold("packets_differ")
    if report.last_sequence - report.first_sequence + 1 != report.packets:
        return NotTold("sequence_differs")
    if report.octets != prompt.samples:
        return NotTold("octets_differ")
    if report.payload_sha256 not in prompt.payload_sha256.values():
        return NotTold("audio_differs")
    return Told("B")
