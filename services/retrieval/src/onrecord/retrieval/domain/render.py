"""From stored frames to a two-channel WAV: left the caller, right the agent.

G.711 octets become the exact linear samples of ITU-T G.711; where nothing was kept there is
silence; what overlaps is added and saturates at 16 bits. What the service played to a party stands
in that party's channel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from onrecord.ledger.permit import STREAMS
from onrecord.retrieval.domain.placement import Placement
from onrecord.rtp import g711
from onrecord.rtp.storage.unit import Frame

LEFT: Final = frozenset({"caller", "service-caller", *STREAMS[::2]})
"""The legs heard in the left channel; all others are heard in the right one.

Who is heard in a recording session's streams is no matter of their names: clients as a rule send
the two parties in the first two, so every second one is put on the same side.
"""

FRAME_OCTETS: Final = 4
"""One 16-bit sample for each of the two channels."""

MAX_SAMPLES: Final = (0xFFFFFFFF - 36) // FRAME_OCTETS
"""What a RIFF header can count: 37 hours."""

_STATIC_TYPES: Final = {0: "PCMU", 8: "PCMA"}  # RFC 3551 §6
_COMFORT_NOISE: Final = 13  # RFC 3389


@dataclass(frozen=True, slots=True)
class Run:
    """Audio without a break: octets of one codec, one octet a sample, from a position on."""

    position: int
    codec: str
    payload: bytes

    @property
    def end(self) -> int:
        """The position after its last sample."""
        return self.position + len(self.payload)


def runs(placement: Placement, codec: str, frames: Iterable[Frame]) -> list[Run]:
    """Place a unit's frames and join those that follow each other exactly.

    `codec` is the unit's own, for payload types without a fixed meaning; it must be PCMU or PCMA.
    Advances `placement`. Frames without audio (masked digits, comfort noise) leave silence.
    """
    joined: list[Run] = []
    parts: list[bytes] = []
    begin = end = 0
    name = ""
    for frame in frames:
        if not frame.payload or frame.payload_type == _COMFORT_NOISE:
            continue
        position = placement.place(frame)
        found = _STATIC_TYPES.get(frame.payload_type, codec)
        if parts and (position != end or found != name):
            joined.append(Run(begin, name, b"".join(parts)))
            parts = []
        if not parts:
            begin, name = position, found
        parts.append(frame.payload)
        end = position + len(frame.payload)
    if parts:
        joined.append(Run(begin, name, b"".join(parts)))
    return joined


def mix(left: Sequence[Run], right: Sequence[Run], begin: int, samples: int) -> bytes:
    """The audio of [begin, begin + samples) as interleaved 16-bit little-endian samples."""
    channels = [_channel(left, begin, samples), _channel(right, begin, samples)]
    return np.stack(channels, axis=1).astype("<i2").tobytes()


def _channel(heard: Sequence[Run], begin: int, samples: int) -> g711.Samples:
    mixed = np.zeros(samples, np.int32)
    for run in heard:
        first, end = max(run.position, begin), min(run.end, begin + samples)
        if first < end:
            octets = run.payload[first - run.position : end - run.position]
            mixed[first - begin : end - begin] += g711.decode(run.codec, octets)
    return np.clip(mixed, -32768, 32767).astype(np.int16)


def wav_header(samples: int) -> bytes:
    """The header of a WAV file of so many samples in each of two channels.

    Raises ValueError for more than `MAX_SAMPLES`.
    """
    if samples > MAX_SAMPLES:
        raise ValueError(f"a WAV file cannot hold {samples} samples")
    data = samples * FRAME_OCTETS
    rate = g711.CLOCK_RATE
    form = struct.pack("<HHIIHH", 1, 2, rate, rate * FRAME_OCTETS, FRAME_OCTETS, 16)
    head = b"RIFF" + struct.pack("<I", 36 + data) + b"WAVEfmt " + struct.pack("<I", len(form))
    return head + form + b"data" + struct.pack("<I", data)
