"""Short prompts, made on the fly: noise under the listing that the announcement reads."""

from __future__ import annotations

import hashlib
import io
import wave
from pathlib import Path

import numpy as np
from onrecord.rtp import g711

RATE = 8000
_ROW = """\
[[prompt]]
id = "{name}"
version = 1
party = "{party}"
language = "{language}"
text = "A stand-in for the words that tell the {party}."
acts = ["recorded", "monitored"]
purposes = ["training", "quality"]
file = "{name}.wav"
sha256 = "{sha256}"
payload_sha256.PCMU = "{pcmu}"
payload_sha256.PCMA = "{pcma}"
source = {{ voice = "noise", words_per_minute = 1, made_with = "numpy" }}

"""

SHORT, LONG, ONE_SIDED = "en-GB", "de-DE", "cy-GB"
"""Languages of routes: prompts for both parties, long ones, and one for the caller alone."""


def write_prompts(folder: Path, *, seconds: float, long_seconds: float) -> Path:
    """Make the folder that `ONRECORD_PROMPTS` names: short prompts, long ones, one alone."""
    folder.mkdir(parents=True)
    rows = [
        _row(folder, party, SHORT, seconds, seed) for seed, party in enumerate(("caller", "agent"))
    ]
    rows += [
        _row(folder, party, LONG, long_seconds, seed)
        for seed, party in enumerate(("caller", "agent"), 2)
    ]
    rows.append(_row(folder, "caller", ONE_SIDED, seconds, 4))
    (folder / "prompts.toml").write_text("".join(rows), encoding="utf-8")
    return folder


def _row(folder: Path, party: str, language: str, seconds: float, seed: int) -> str:
    name = f"{party}-{language.lower()}"
    source = np.random.default_rng(seed)
    samples = source.integers(-8000, 8000, int(seconds * RATE), dtype=np.int16)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setframerate(RATE)
        file.setsampwidth(2)
        file.writeframes(samples.astype("<i2").tobytes())
    (folder / f"{name}.wav").write_bytes(out.getvalue())
    coded = {codec: g711.encode(codec, samples) for codec in ("PCMU", "PCMA")}
    return _ROW.format(
        name=name,
        party=party,
        language=language,
        sha256=hashlib.sha256(out.getvalue()).hexdigest(),
        pcmu=hashlib.sha256(coded["PCMU"]).hexdigest(),
        pcma=hashlib.sha256(coded["PCMA"]).hexdigest(),
    )
