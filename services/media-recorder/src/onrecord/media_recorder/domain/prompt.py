"""Prompts: a WAV file becomes payload frames of the leg's codec.

RIFF/WAVE with one channel at 8 kHz: PCM 16 bit (format 1), A-law (6) or mu-law (7). A prompt that
is in the leg's own law is sent bit by bit as it is.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from onrecord.rtp import g711

FRAME_SAMPLES: Final = 160
MAX_SECONDS: Final = 60
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_LAWS = {6: "PCMA", 7: "PCMU"}


class BadPrompt(Exception):
    """A prompt that cannot be played; `reason` is a closed slug, the text says what to do."""

    def __init__(self, reason: str, detail: str) -> None:
        """Refuse for this reason."""
        super().__init__(detail)
        self.reason = reason


def frames(wav: bytes, codec: str) -> bytes:
    """Give a prompt's payload in the codec (PCMU or PCMA), filled up to whole frames of 20 ms."""
    if codec not in g711.SILENCE:
        raise BadPrompt("no_codec", f"prompts can be played in PCMU and PCMA, not in {codec}")
    kind, audio = _read(wav)
    if kind == 1:
        payload = g711.encode(codec, np.frombuffer(audio, "<i2").astype(np.int16))
    elif _LAWS[kind] == codec:
        payload = audio
    else:
        payload = g711.encode(codec, g711.decode(_LAWS[kind], audio))
    if not 0 < len(payload) <= MAX_SECONDS * g711.CLOCK_RATE:
        raise BadPrompt("bad_prompt", f"a prompt lasts between a sample and {MAX_SECONDS} s")
    missing = -len(payload) % FRAME_SAMPLES
    return payload + bytes([g711.SILENCE[codec]]) * missing


def _read(wav: bytes) -> tuple[int, bytes]:
    """Give the format and the bytes of the audio; chunks of other kinds are passed over."""
    if wav[:4] != b"RIFF" or wav[8:12] != b"WAVE":
        raise BadPrompt("bad_prompt", "the prompt is not a WAV file")
    kind, at = 0, 12
    while at + _CHUNK.size <= len(wav):
        name, length = _CHUNK.unpack_from(wav, at)
        body = wav[at + _CHUNK.size : at + _CHUNK.size + length]
        if name == b"fmt ":
            kind = _format(body)
        elif name == b"data" and kind:
            return kind, body[: len(body) - len(body) % 2] if kind == 1 else body
        at += _CHUNK.size + length + length % 2
    raise BadPrompt("bad_prompt", "the WAV file has no format or no data")


def _format(body: bytes) -> int:
    if len(body) < _FORMAT.size:
        raise BadPrompt("bad_prompt", "the WAV file's format is cut short")
    kind, channels, rate, _, _, bits = _FORMAT.unpack_from(body)
    if (kind, bits) not in {(1, 16), (6, 8), (7, 8)} or (channels, rate) != (1, g711.CLOCK_RATE):
        raise BadPrompt(
            "bad_prompt", "a prompt is mono, 8 kHz, PCM 16 bit or G.711; convert it with sox"
        )
    return int(kind)
