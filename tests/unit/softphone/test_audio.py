"""WAV files as payloads."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.rtp import g711
from onrecord.softphone.audio import FRAME_SAMPLES, UnusableAudio, payloads_of_wav, silence


def wav(samples: np.ndarray, rate: int = 8000, channels: int = 1) -> bytes:
    """A WAV file of these samples."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_cuts_into_frames_and_fills_the_last(codec: str) -> None:
    """400 samples are three frames, the last of which ends in silence."""
    samples = (np.sin(np.arange(400) / 5) * 8000).astype(np.int16)
    frames = payloads_of_wav(wav(samples), codec)
    assert [len(frame) for frame in frames] == [FRAME_SAMPLES] * 3
    assert b"".join(frames)[:400] == g711.encode(codec, samples)
    assert frames[2].endswith(silence(codec)[:80])


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (8000, 2)])
def test_refuses_another_shape(rate: int, channels: int) -> None:
    """Anything but mono at 8 kHz is an error that says what is needed."""
    with pytest.raises(UnusableAudio, match="mono, 8000 Hz"):
        payloads_of_wav(wav(np.zeros(320), rate, channels), "PCMU")


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    """No file makes it fail in another way."""
    try:
        payloads_of_wav(data, "PCMU")
    except UnusableAudio:
        return
