"""G.711 (ITU-T G.711, 1988): A-law and mu-law against 16-bit linear samples, by table.

Tables are computed once from the recommendation's segments: mu-law from the upper 14 bits of a
sample, A-law from the upper 13, rounded as the widely copied g711.c of Sun Microsystems does.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
CLOCK_RATE: Final = 8000
SILENCE: Final = {"PCMU": 0xFF, "PCMA": 0xD5}
_BIAS = 33
_LARGEST = 8191


def decode(codec: str, payload: bytes) -> Samples:
    """Give a payload's linear samples; `codec` is PCMU or PCMA, anything else is a KeyError."""
    return np.take(_DECODE[codec], np.frombuffer(payload, np.uint8))


def encode(codec: str, samples: Samples) -> bytes:
    """Give the payload of linear samples; `codec` is PCMU or PCMA, anything else is a KeyError."""
    return _ENCODE[codec][samples.view(np.uint16)].tobytes()


def _mulaw_decoding() -> Samples:
    code = ~np.arange(256, dtype=np.uint8)
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 0x0F).astype(np.int32)
    magnitude = ((2 * step + _BIAS << segment) - _BIAS) * 4
    return np.asarray(np.where(code & 0x80, -magnitude, magnitude), np.int16)


def _alaw_decoding() -> Samples:
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    segment, step = (code >> 4 & 7).astype(np.int32), (code & 0x0F).astype(np.int32)
    first = (step << 4) + 8
    magnitude = np.where(segment == 0, first, first + 0x100 << np.maximum(segment - 1, 0))
    return np.asarray(np.where(code & 0x80, magnitude, -magnitude), np.int16)


def _all_samples() -> NDArray[np.int32]:
    """Every 16-bit sample, in the order of its unsigned pattern."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int32)


def _mulaw_encoding() -> NDArray[np.uint8]:
    sample = _all_samples() >> 2
    magnitude = np.minimum(np.abs(sample) + _BIAS, _LARGEST)
    segment = np.log2(magnitude).astype(np.int32) - 5
    code = segment << 4 | magnitude >> segment + 1 & 0x0F
    coded = ~np.where(sample < 0, code | 0x80, code) & 0xFF
    return np.asarray(coded, np.uint8)


def _alaw_encoding() -> NDArray[np.uint8]:
    sample = _all_samples() >> 3
    magnitude = np.where(sample < 0, -sample - 1, sample)
    segment = np.maximum(np.log2(np.maximum(magnitude, 1)).astype(np.int32) - 4, 0)
    code = segment << 4 | magnitude >> np.maximum(segment, 1) & 0x0F
    coded = np.where(sample < 0, code, code | 0x80) ^ 0x55
    return np.asarray(coded, np.uint8)


_DECODE: Final = {"PCMU": _mulaw_decoding(), "PCMA": _alaw_decoding()}
_ENCODE: Final = {"PCMU": _mulaw_encoding(), "PCMA": _alaw_encoding()}
