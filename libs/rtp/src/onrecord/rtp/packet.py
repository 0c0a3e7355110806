"""RTP packets: RFC 3550 §5.1 and §5.3.1, read and written as bytes.

Left out: RTCP (§6), profile-defined bits other than those of RFC 3551, and the content of header
extensions (RFC 8285), which is carried as it came.
"""

import struct
from typing import Final, NamedTuple

from onrecord.rtp.errors import MalformedPacket

VERSION: Final = 2
FIXED_OCTETS: Final = 12
# More than any Ethernet path carries; a longer datagram is not media.
MAX_OCTETS: Final = 2048
_FIXED = struct.Struct(">BBHII")
_EXTENSION = struct.Struct(">HH")
# RFC 5761 §4: these second octets are RTCP when both share a port.
_RTCP_TYPES = range(192, 224)


class Extension(NamedTuple):
    """A header extension (§5.3.1): `data` is a multiple of 4 bytes, at most 65,535 words."""

    profile: int
    data: bytes


class Packet(NamedTuple):
    """One RTP packet: `sequence` (16 bits) and `timestamp` (32) as on the wire, no padding."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: Extension | None = None


def parse(datagram: bytes) -> Packet:
    """Read a datagram as RTP; `MalformedPacket` says what is wrong with it.

    Padding is checked and removed. RTCP on the same port is refused by its packet types (RFC 5761
    §4).
    """
    if not FIXED_OCTETS <= len(datagram) <= MAX_OCTETS:
        raise MalformedPacket(f"an RTP packet is not {len(datagram)} bytes long")
    first, second, sequence, timestamp, ssrc = _FIXED.unpack_from(datagram)
    if first >> 6 != VERSION:
        raise MalformedPacket(f"RTP version {first >> 6}")
    if second in _RTCP_TYPES:
        raise MalformedPacket("an RTCP packet")
    csrcs: tuple[int, ...] = ()
    extension, begin, end = None, FIXED_OCTETS, len(datagram)
    if first & 0x3F:
        csrcs, begin = _read_csrcs(datagram, first & 0x0F)
        if first & 0x10:
            extension, begin = _read_extension(datagram, begin)
        if first & 0x20:
            end -= _padding(datagram, begin)
    return Packet(
        second & 0x7F,
        sequence,
        timestamp,
        ssrc,
        datagram[begin:end],
        bool(second & 0x80),
        csrcs,
        extension,
    )


def build(packet: Packet) -> bytes:
    """Give the bytes of a packet, without padding."""
    first = VERSION << 6 | (0x10 if packet.extension else 0) | len(packet.csrcs)
    second = packet.payload_type | (0x80 if packet.marker else 0)
    parts = [_FIXED.pack(first, second, packet.sequence, packet.timestamp, packet.ssrc)]
    parts += [csrc.to_bytes(4, "big") for csrc in packet.csrcs]
    if packet.extension:
        profile, data = packet.extension
        parts += [_EXTENSION.pack(profile, len(data) // 4), data]
    return b"".join([*parts, packet.payload])


def renumber(
    datagram: bytes, *, payload_type: int, sequence: int, timestamp: int, ssrc: int, marker: bool
) -> bytes:
    """Give a parsed datagram anew under other numbers; payload, padding, CSRCs and extension stay.

    `marker` is added to the packet's own. The datagram must have passed `parse`.
    """
    second = datagram[1] & 0x80 | payload_type | (0x80 if marker else 0)
    return _FIXED.pack(datagram[0], second, sequence, timestamp, ssrc) + datagram[FIXED_OCTETS:]


def _read_csrcs(datagram: bytes, count: int) -> tuple[tuple[int, ...], int]:
    end = FIXED_OCTETS + 4 * count
    if end > len(datagram):
        raise MalformedPacket("the packet ends within its CSRC list")
    return struct.unpack_from(f">{count}I", datagram, FIXED_OCTETS), end


def _read_extension(datagram: bytes, begin: int) -> tuple[Extension, int]:
    body = begin + _EXTENSION.size
    if body > len(datagram):
        raise MalformedPacket("the packet ends within its extension header")
    profile, words = _EXTENSION.unpack_from(datagram, begin)
    if body + 4 * words > len(datagram):
        raise MalformedPacket("the packet ends within its extension")
    return Extension(profile, datagram[body : body + 4 * words]), body + 4 * words


def _padding(datagram: bytes, begin: int) -> int:
    octets = datagram[-1]
    if not 1 <= octets <= len(datagram) - begin:
        raise MalformedPacket(f"{octets} bytes of padding do not fit the packet")
    return octets
