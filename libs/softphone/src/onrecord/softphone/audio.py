"""Speech as RTP payloads: WAV files cut into 20 ms of G.711."""

from __future__ import annotations

import io
import wave
from typing import Final

import numpy as np
from onrecord.rtp import g711

FRAME_SECONDS: Final = 0.02
FRAME_SAMPLES: Final = 160


class UnusableAudio(ValueError):
    """A WAV file that is not mono, 8 kHz, 16-bit linear."""


def payloads_of_wav(data: bytes, codec: str) -> list[bytes]:
    """Cut a WAV file (mono, 8 kHz, 16 bit) into payloads of PCMU or PCMA, the last one filled up.

    Raises `UnusableAudio` for any other file.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            shape = (file.getnchannels(), file.getframerate(), file.getsampwidth())
            pcm = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise UnusableAudio(f"not a WAV file: {error}") from error
    if shape != (1, g711.CLOCK_RATE, 2):
        raise UnusableAudio(f"mono, 8000 Hz, 2 octets a sample are needed, not {shape}")
    return payloads_of_samples(np.frombuffer(pcm, "<i2").astype(np.int16), codec)


def payloads_of_samples(samples: g711.Samples, codec: str) -> list[bytes]:
    """Cut linear samples into payloads, the last one filled up with silence."""
    coded = g711.encode(codec, samples)
    frames = [coded[at : at + FRAME_SAMPLES] for at in range(0, len(coded), FRAME_SAMPLES)]
    return [frame.ljust(FRAME_SAMPLES, silence(codec)[:1]) for frame in frames]


def silence(codec: str) -> bytes:
    """One payload of silence."""
    return bytes([g711.SILENCE[codec]]) * FRAME_SAMPLES
