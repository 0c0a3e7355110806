"""What passes through the ring: one captured packet, or word of packets that are missing."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

# Places in the ring's table of flows: numbers that are equal modulo this share one.
SLOTS: Final = 32768
_LOST = struct.Struct("=QI")


class Kind(IntEnum):
    """What a record says."""

    FILLER = 0
    # A packet, with its payload.
    FRAME = 1
    # A packet whose payload may not be kept (a telephone event): everything but the payload.
    MASKED = 2
    # Packets that found no room: `sequence` is the first, `lost_run` gives the rest.
    LOST = 3
    # Packets that waited too long for a permit, told as `LOST` is.
    EXPIRED = 4


LOSSES: Final = frozenset({Kind.LOST, Kind.EXPIRED})


class Record(NamedTuple):
    """One captured packet; `sequence` is extended, `arrival_ns` is UTC."""

    flow: int
    kind: Kind
    payload_type: int
    ssrc: int
    sequence: int
    timestamp: int
    arrival_ns: int
    payload: bytes = b""


def lost_record(like: Record, kind: Kind, last: int, packets: int) -> Record:
    """Say that `packets` packets from `like.sequence` to `last` are missing; `kind` says why."""
    return like._replace(kind=kind, payload=_LOST.pack(last, packets))


def lost_run(record: Record) -> tuple[int, int]:
    """Give the last sequence number and the count of a LOST or EXPIRED record."""
    last, packets = _LOST.unpack(record.payload)
    return last, packets
