"""Unit format 1: the plaintext of one stored unit, that is one leg for at most a minute.

`ORU1` | u32 header length | RFC 8785 JSON header | frames, all integers big-endian. Each frame is
`>Q I Q I B H` (arrival in nanoseconds UTC, SSRC, extended sequence number, RTP timestamp, payload
type, payload length) followed by its payload as it came. Frames stand in the order of arrival;
late and reordered packets are put right by whoever reads. Nothing here is secret or authenticated:
`sealing` does that.
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import rfc8785
from onrecord.rtp.errors import MalformedUnit

MAGIC: Final = b"ORU1"
MAX_HEADER: Final = 4096
_LENGTH = struct.Struct(">I")
_FRAME = struct.Struct(">QIQIBH")


@dataclass(frozen=True, slots=True)
class UnitHeader:
    """What a unit holds: whose audio, which part of it, its coding, and the permit for it.

    `epoch` is the writer's start (unix milliseconds), `k` counts the units of one leg within it
    from 0; `started_at` is the arrival of the first frame (RFC 3339, UTC); `clock_rate` is in
    hertz.
    """

    call: str
    leg: str
    epoch: int
    k: int
    codec: str
    clock_rate: int
    permit_id: str
    started_at: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One RTP packet as it is kept: `sequence` is extended (RFC 3550 A.1), `arrival_ns` is UTC."""

    arrival_ns: int
    ssrc: int
    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes


def encode_header(header: UnitHeader) -> bytes:
    """Give the bytes that open a unit."""
    text = rfc8785.dumps(asdict(header))
    return MAGIC + _LENGTH.pack(len(text)) + text


def encode_frame(frame: Frame) -> bytes:
    """Give the bytes of one frame."""
    fixed = _FRAME.pack(
        frame.arrival_ns,
        frame.ssrc,
        frame.sequence,
        frame.timestamp,
        frame.payload_type,
        len(frame.payload),
    )
    return fixed + frame.payload


def encode_unit(header: UnitHeader, frames: Iterable[Frame]) -> bytes:
    """Give the whole plaintext of a unit."""
    return encode_header(header) + b"".join(map(encode_frame, frames))


def decode_unit(data: bytes) -> tuple[UnitHeader, list[Frame]]:
    """Read a whole unit; `MalformedUnit` if anything is wrong with it or it is cut short."""
    decoder = UnitDecoder()
    frames = decoder.feed(data)
    return decoder.close(), frames


class UnitDecoder:
    """Reads a unit from chunks of any size, holding no more than one unfinished frame."""

    def __init__(self) -> None:
        """Start before the magic."""
        self.header: UnitHeader | None = None
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes and give the frames that they complete, in stored order.

        Raises `MalformedUnit` as soon as the header cannot be one. `header` is set once it was
        read.
        """
        self._rest += data
        if self.header is None and not self._read_header():
            return []
        frames, used, view = [], 0, memoryview(self._rest)
        while len(view) - used >= _FRAME.size:
            arrival, ssrc, sequence, timestamp, payload_type, length = _FRAME.unpack_from(
                view, used
            )
            begin = used + _FRAME.size
            if begin + length > len(view):
                break
            used = begin + length
            frames.append(
                Frame(arrival, ssrc, sequence, timestamp, payload_type, bytes(view[begin:used]))
            )
        self._rest = self._rest[used:]
        return frames

    def close(self) -> UnitHeader:
        """Declare the end, give the header; `MalformedUnit` if something is unfinished."""
        if self.header is None:
            raise MalformedUnit("the unit ends within its header")
        if self._rest:
            raise MalformedUnit(
                f"the unit ends within a frame: {len(self._rest)} bytes are left over"
            )
        return self.header

    def _read_header(self) -> bool:
        start = len(MAGIC) + _LENGTH.size
        if not MAGIC.startswith(self._rest[: len(MAGIC)]):
            raise MalformedUnit("the unit does not begin with ORU1")
        if len(self._rest) < start:
            return False
        (length,) = _LENGTH.unpack_from(self._rest, len(MAGIC))
        if length > MAX_HEADER:
            raise MalformedUnit(f"the header says {length} bytes, at most {MAX_HEADER} are allowed")
        if len(self._rest) < start + length:
            return False
        self.header = decode_header(self._rest[start : start + length])
        self._rest = self._rest[start + length :]
        return True


def decode_header(text: bytes) -> UnitHeader:
    """Read a header's JSON; unknown names are ignored, missing or mistyped ones refused."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedUnit("the header is not JSON") from error
    if not isinstance(found, dict):
        raise MalformedUnit("the header is not a JSON object")
    known: dict[str, Any] = {}
    for field in fields(UnitHeader):
        value = found.get(field.name)
        if type(value) is not field.type:
            raise MalformedUnit(f"the header has no proper {field.name}")
        known[field.name] = value
    return UnitHeader(**known)
