"""Rendering: G.711 decoded exactly, each party in its channel, gaps silent, overlaps added."""

from __future__ import annotations

import io
import wave
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.retrieval.domain.placement import Placement
from onrecord.retrieval.domain.render import MAX_SAMPLES, Run, mix, runs, wav_header
from onrecord.rtp import g711
from onrecord.rtp.storage.unit import Frame
from unit.retrieval.factories import frames

PAYLOADS = st.lists(st.binary(min_size=160, max_size=160), min_size=1, max_size=12)
CODECS = st.sampled_from([("PCMU", 0), ("PCMA", 8)])


def rendered(given_frames: list[Frame], codec: str = "PCMU") -> g711.Samples:
    """The left channel of frames of one leg."""
    heard = runs(Placement(), codec, given_frames)
    begin, end = min(run.position for run in heard), max(run.end for run in heard)
    stereo = np.frombuffer(mix(heard, [], begin, end - begin), "<i2").reshape(-1, 2)
    assert not stereo[:, 1].any()
    return stereo[:, 0]


@given(payloads=PAYLOADS, codec=CODECS)
def test_frames_without_overlap_are_bit_exact(
    payloads: list[bytes], codec: tuple[str, int]
) -> None:
    """Every octet becomes the linear sample that G.711 gives it, in its place."""
    name, payload_type = codec
    audio = rendered(frames(payloads, payload_type=payload_type))
    assert audio.tobytes() == g711.decode(name, b"".join(payloads)).tobytes()


@given(payloads=PAYLOADS, data=st.data())
def test_what_was_lost_is_silence_and_the_rest_is_bit_exact(
    payloads: list[bytes], data: st.DataObject
) -> None:
    """A gap moves nothing that follows it."""
    inner = st.sets(st.integers(1, max(1, len(payloads) - 2)))
    lost = {n for n in data.draw(inner) if n < len(payloads) - 1}
    kept = [frame for n, frame in enumerate(frames(payloads)) if n not in lost]
    expected = g711.decode("PCMU", b"".join(payloads)).copy()
    for n in lost:
        expected[160 * n : 160 * n + 160] = 0
    assert rendered(kept).tobytes() == expected.tobytes()


def test_a_dynamic_payload_type_is_the_units_own_codec() -> None:
    """PCMA may be offered under a number from 96 on (RFC 3551 section 3)."""
    audio = rendered(frames([bytes(range(160))], payload_type=97), codec="PCMA")
    assert audio.tobytes() == g711.decode("PCMA", bytes(range(160))).tobytes()


def test_masked_digits_and_comfort_noise_are_silence() -> None:
    """They carry no audio, and what follows them keeps its place."""
    first, digit, noise, last = frames([b"\x10" * 160] * 4)
    digit = replace(digit, payload_type=101, payload=b"")
    noise = replace(noise, payload_type=13, payload=b"\x40")
    expected = np.zeros(640, np.int16)
    expected[:160] = expected[480:] = g711.decode("PCMU", b"\x10" * 160)
    assert rendered([first, digit, noise, last]).tobytes() == expected.tobytes()


def test_each_side_has_its_channel() -> None:
    """Left and right do not leak into each other."""
    left, right = Run(0, "PCMU", bytes(160)), Run(80, "PCMA", bytes(160))
    stereo = np.frombuffer(mix([left], [right], 0, 240), "<i2").reshape(-1, 2)
    assert stereo[:160, 0].tobytes() == g711.decode("PCMU", bytes(160)).tobytes()
    assert stereo[80:, 1].tobytes() == g711.decode("PCMA", bytes(160)).tobytes()
    assert not stereo[160:, 0].any()
    assert not stereo[:80, 1].any()


def test_overlaps_are_added_and_saturate() -> None:
    """Three loud voices at once stay at the limit instead of wrapping round."""
    loud, quiet = Run(0, "PCMU", b"\x80" * 2), Run(1, "PCMU", b"\x80" * 2)
    audio = np.frombuffer(mix([loud, loud, quiet], [], 0, 3), "<i2")[::2]
    assert audio.tolist() == [32767, 32767, 32124]
    negative = Run(0, "PCMU", b"\x00" * 2)
    assert np.frombuffer(mix([negative] * 2, [], 0, 2), "<i2")[::2].tolist() == [-32768] * 2


@given(payloads=PAYLOADS, block=st.integers(1, 700), gap=st.integers(0, 3))
def test_blocks_joined_are_the_whole(payloads: list[bytes], block: int, gap: int) -> None:
    """Wherever the pieces are cut."""
    kept = [frame for n, frame in enumerate(frames(payloads)) if n == 0 or n != gap]
    heard = runs(Placement(), "PCMU", kept)
    begin, end = heard[0].position, heard[-1].end
    whole = mix(heard, heard, begin, end - begin)
    pieces = [mix(heard, heard, at, min(block, end - at)) for at in range(begin, end, block)]
    assert b"".join(pieces) == whole


@given(cut=st.integers(0, 12), payloads=PAYLOADS)
def test_units_placed_one_after_another_are_the_leg(cut: int, payloads: list[bytes]) -> None:
    """The border between two stored units is not audible."""
    placement, whole = Placement(), frames(payloads)
    parts = [*runs(placement, "PCMU", whole[:cut]), *runs(placement, "PCMU", whole[cut:])]
    begin, samples = whole_begin(whole), 160 * len(payloads)
    assert mix(parts, [], begin, samples) == mix(
        runs(Placement(), "PCMU", whole), [], begin, samples
    )


def whole_begin(given_frames: list[Frame]) -> int:
    """The position of the first frame."""
    return Placement().place(given_frames[0])


def test_the_header_is_that_of_a_pcm_wav_file() -> None:
    """Two channels, 16 bits, 8 kHz, and the true length."""
    with wave.open(io.BytesIO(wav_header(3) + bytes(12))) as reader:
        assert reader.getparams()[:4] == (2, 2, 8000, 3)
        assert len(reader.readframes(9)) == 12


def test_more_than_a_wav_file_can_hold_is_refused() -> None:
    """The sizes are 32 bits."""
    assert len(wav_header(MAX_SAMPLES)) == 44
    with pytest.raises(ValueError, match="cannot hold"):
        wav_header(MAX_SAMPLES + 1)
