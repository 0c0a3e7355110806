"""G.711 tables are the recommendation's."""

import hashlib

import numpy as np
import pytest
from onrecord.rtp import g711

# SHA-256 over the 65,536 codes (samples 0 to 32767, -32768 to -1) and the 256 decoded samples
# (little-endian); made once with CPython's audioop, an implementation independent of ours.
TABLES = {
    "PCMU": (
        "617fa4850d68d3906597e949f7625fb2fc46db479e29707f33159b3d131721cb",
        "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827",
    ),
    "PCMA": (
        "f77c76aa923ee25617453f87514828a12896227f82ff383bf3bb53d6ac7c2a0f",
        "e04788d110e58ff8c70c93b8480190d973e3b67876b6119abbaec766cc75c174",
    ),
}
ALL = np.arange(65536, dtype=np.uint16).view(np.int16)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_tables_equal_an_independent_implementation(codec: str) -> None:
    """Every sample codes and every code decodes as elsewhere."""
    encoded = g711.encode(codec, ALL)
    decoded = g711.decode(codec, bytes(range(256))).astype("<i2").tobytes()
    assert (hashlib.sha256(encoded).hexdigest(), hashlib.sha256(decoded).hexdigest()) == TABLES[
        codec
    ]


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_silence_decodes_to_almost_nothing(codec: str) -> None:
    """The code for silence is the smallest magnitude."""
    assert abs(int(g711.decode(codec, bytes([g711.SILENCE[codec]]))[0])) <= 8


def test_unknown_codec_is_a_key_error() -> None:
    """Only the two laws are known."""
    with pytest.raises(KeyError):
        g711.encode("G722", ALL)
