"""Prompts become payload of the leg's codec, or a clear refusal."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.media_recorder.domain.prompt import BadPrompt, frames
from onrecord.rtp import g711


def wav(kind: int, bits: int, audio: bytes, *, channels: int = 1, rate: int = 8000) -> bytes:
    """A WAV file with a chunk of another kind before its data."""
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * bits // 8, bits // 8, bits)
    chunks = [(b"fmt ", form), (b"LIST", b"abc\0"), (b"data", audio)]
    body = b"".join(struct.pack("<4sI", name, len(data)) + data for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def test_pcm_is_encoded_and_filled_up() -> None:
    """PCM becomes G.711 in whole frames, the last one filled with silence."""
    samples = np.arange(200, dtype=np.int16) * 100
    payload = frames(wav(1, 16, samples.tobytes()), "PCMU")
    assert payload == g711.encode("PCMU", samples) + b"\xff" * 120


def test_own_law_is_sent_as_it_is() -> None:
    """G.711 in the leg's law passes bit by bit; in the other law it is decoded and encoded."""
    audio = bytes(range(160))
    assert frames(wav(7, 8, audio), "PCMU") == audio
    assert frames(wav(7, 8, audio), "PCMA") == g711.encode("PCMA", g711.decode("PCMU", audio))


@pytest.mark.parametrize(
    ("prompt", "codec", "reason"),
    [
        (b"", "PCMU", "bad_prompt"),
        (b"RIFF\0\0\0\0WAVE", "PCMU", "bad_prompt"),
        (wav(1, 16, b""), "PCMU", "bad_prompt"),
        (wav(1, 16, b"ab", channels=2), "PCMU", "bad_prompt"),
        (wav(1, 16, b"ab", rate=16000), "PCMU", "bad_prompt"),
        (wav(3, 32, b"abcd"), "PCMU", "bad_prompt"),
        (wav(1, 16, b"ab"), "G722", "no_codec"),
    ],
)
def test_unplayable_prompts_are_refused(prompt: bytes, codec: str, reason: str) -> None:
    """What cannot be played is refused by name before anything is sent."""
    with pytest.raises(BadPrompt) as refusal:
        frames(prompt, codec)
    assert refusal.value.reason == reason


@given(st.binary(max_size=200))
def test_any_bytes_are_a_prompt_or_refused(data: bytes) -> None:
    """Arbitrary bytes never do anything but BadPrompt."""
    with pytest.raises(BadPrompt):
        frames(b"RIFF\0\0\0\0WAVE" + data + b"fmt ", "PCMU")
