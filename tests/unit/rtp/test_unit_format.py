"""Unit format 1 is written and read back exactly, and refuses what is not one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.rtp.errors import MalformedUnit
from onrecord.rtp.storage.unit import Frame, UnitDecoder, UnitHeader, decode_unit, encode_unit

HEADER = UnitHeader(
    call="0190a5d2",
    leg="caller",
    epoch=1790000000000,
    k=3,
    codec="PCMU",
    clock_rate=8000,
    permit_id="0190a5d2:p0",
    started_at="2026-11-23T10:00:00.000000Z",
)
u8, u32, u64 = st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
frames = st.lists(st.builds(Frame, u64, u32, u64, u32, u8, st.binary(max_size=400)), max_size=20)


def test_bytes_are_fixed() -> None:
    """The bytes of a small unit are these for ever."""
    frame = Frame(1, 2, 3, 4, 5, b"ab")
    assert encode_unit(HEADER, [frame]).hex() == (
        "4f525531000000a47b2263616c6c223a223031393061356432222c22636c6f636b5f72617465223a383030302c22636f646563223a"
        "2250434d55222c2265706f6368223a313739303030303030303030302c226b223a332c226c6567223a2263616c6c6572222c2270"
        "65726d69745f6964223a2230313930613564323a7030222c22737461727465645f6174223a22323032362d31312d32335431303a30"
        "303a30302e3030303030305a227d"
        "00000000000000010000000200000000000000030000000405" + "0002" + "6162"
    )


@given(frames, st.lists(st.integers(0, 4000), max_size=8))
def test_round_trip_in_any_chunks(kept: list[Frame], cuts: list[int]) -> None:
    """A unit cut into arbitrary chunks gives back its header and frames."""
    data = encode_unit(HEADER, kept)
    decoder, found, at = UnitDecoder(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        found += decoder.feed(data[at : max(at, cut)])
        at = max(at, cut)
    assert (decoder.close(), found) == (HEADER, kept)


@given(frames, st.integers(1, 60))
def test_cut_unit_is_an_error(kept: list[Frame], missing: int) -> None:
    """A unit that lost its last bytes is refused, unless the cut fell between two frames."""
    data = encode_unit(HEADER, kept)[:-missing]
    try:
        header, found = decode_unit(data)
    except MalformedUnit:
        return
    assert encode_unit(header, found) == data


@given(st.binary(max_size=300), st.sampled_from([b"", b"ORU1"]))
def test_garbage_gives_a_clear_error(data: bytes, magic: bytes) -> None:
    """Arbitrary bytes raise MalformedUnit and nothing else."""
    with pytest.raises(MalformedUnit):
        decode_unit(magic + data)
