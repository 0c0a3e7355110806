"""How checks name frames: by what identifies a packet for its sender and its receiver alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onrecord.rtp.storage.unit import Frame
from onrecord.softphone.media import MediaFrame

CODECS = {0: "PCMU", 8: "PCMA"}
"""The payload types of audio; all others are events."""

SEQUENCES = 1 << 16
"""How many numbers a packet can have on the wire; stored ones are extended (RFC 3550 A.1)."""

Number = tuple[int, int, int]
"""SSRC, 16-bit sequence number and RTP timestamp of a packet."""


def number_of(frame: Frame | MediaFrame) -> Number:
    """What identifies this packet."""
    return frame.ssrc, frame.sequence % SEQUENCES, frame.timestamp


def by_number(frames: Iterable[MediaFrame]) -> dict[Number, MediaFrame]:
    """A phone's packets by what identifies them."""
    return {number_of(frame): frame for frame in frames}


def is_before(frame: Frame, position: Mapping[str, int] | None) -> bool:
    """Whether a permit's first position leaves the frame out; another SSRC began after it."""
    return (
        position is not None
        and frame.ssrc == position["ssrc"]
        and frame.sequence < position["sequence"]
    )


def in_span(frame: Frame | MediaFrame, span: Mapping[str, Any]) -> bool:
    """Whether a packet is one of a notice's span."""
    distance = (frame.sequence - span["first_sequence"]) % SEQUENCES
    length = span["last_sequence"] - span["first_sequence"]
    return bool(frame.ssrc == span["ssrc"] and distance <= length)
