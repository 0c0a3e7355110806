"""RTP packets are read tolerantly, refused clearly and written back exactly."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.rtp.errors import MalformedPacket
from onrecord.rtp.packet import Extension, Packet, build, parse, renumber

u7, u16, u32 = st.integers(0, 127), st.integers(0, 65535), st.integers(0, 2**32 - 1)
extensions = st.builds(Extension, u16, st.integers(0, 5).map(lambda words: bytes(range(4 * words))))
# Types 64 to 95 with the marker bit are the octets of RTCP (RFC 5761) and no RTP.
types = u7.filter(lambda number: not 64 <= number < 96)
packets = st.builds(
    Packet,
    types,
    u16,
    u32,
    u32,
    st.binary(max_size=300),
    st.booleans(),
    st.lists(u32, max_size=15).map(tuple),
    st.none() | extensions,
)


@given(packets)
def test_round_trip(packet: Packet) -> None:
    """What was built parses to itself, CSRCs and extension included."""
    assert parse(build(packet)) == packet


@given(packets, st.integers(1, 255))
def test_padding_is_removed(packet: Packet, octets: int) -> None:
    """Padding (§5.1) is not payload."""
    data = bytearray(build(packet) + bytes(octets - 1) + bytes([octets]))
    data[0] |= 0x20
    assert parse(bytes(data)) == packet


@given(packets, packets)
def test_renumber_changes_only_numbers(packet: Packet, other: Packet) -> None:
    """Under other numbers everything else of a datagram stays, and a marker is only ever added."""
    numbers = {
        name: getattr(other, name) for name in ("payload_type", "sequence", "timestamp", "ssrc")
    }
    expected = packet._replace(**numbers, marker=packet.marker or other.marker)
    assert renumber(build(packet), **numbers, marker=other.marker) == build(expected)


@given(st.binary(max_size=80), st.integers(0, 255))
def test_any_bytes_parse_or_are_refused(data: bytes, first: int) -> None:
    """Arbitrary bytes give a packet within them or MalformedPacket, nothing else."""
    datagram = bytes([first & 0x3F | 0x80]) + data
    with suppress(MalformedPacket):
        assert len(parse(datagram).payload) <= len(datagram) - 12


@pytest.mark.parametrize(
    ("datagram", "words"),
    [
        (b"", "0 bytes"),
        (bytes(3000), "3000 bytes"),
        (bytes(12), "version 0"),
        (b"\x80\xc8" + bytes(26), "RTCP"),
        (b"\x8f" + bytes(11), "CSRC"),
        (b"\x90" + bytes(11), "extension header"),
        (b"\x90" + bytes(13) + b"\x00\x09", "within its extension"),
        (b"\xa0" + bytes(11) + b"\x02", "padding"),
        (b"\xa0" + bytes(11) + b"\x00", "padding"),
    ],
)
def test_errors_say_what_is_wrong(datagram: bytes, words: str) -> None:
    """Each kind of malformed packet is named."""
    with pytest.raises(MalformedPacket, match=words):
        parse(datagram)
