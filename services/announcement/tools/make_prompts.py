"""Speaks the shipped prompts again and compares them with the committed WAV files.

    python services/announcement/tools/make_prompts.py [--write]

Needs espeak-ng and sox; `prompts.toml` says with which versions the committed files were made, and
the same versions give the same bytes. Without `--write` nothing is changed and the exit code is 1
if any file differs. With it the WAV files are written, and the digests for `prompts.toml` printed.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import tomllib
import wave
from pathlib import Path

import numpy as np
from onrecord.rtp import g711

PROMPTS = Path(__file__).resolve().parent.parent / "src/onrecord/announcement/prompts"
RATE = 8000
FRAME_SAMPLES = 160


def speak(text: str, voice: str, words_per_minute: int) -> bytes:
    """Speak the text: 16-bit samples at 8 kHz, little-endian, a whole number of 20 ms frames."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = str(Path(folder) / "spoken.wav")
        synthesise = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-w", spoken, text]
        subprocess.run(synthesise, check=True)  # noqa: S603  # our own words
        # -D: no dither, which would be noise of another kind in each version of sox.
        resample = ["sox", "-D", spoken, "-t", "raw", "-r", str(RATE), "-b", "16", "-c", "1", "-e"]
        resample += ["signed-integer", "-L", "-", "gain", "-n", "-3"]
        samples = subprocess.run(resample, check=True, capture_output=True).stdout  # noqa: S603
    frame = FRAME_SAMPLES * 2
    return samples + bytes(-len(samples) % frame)


def wav(samples: bytes) -> bytes:
    """The samples as a mono WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples)
    return file.getvalue()


def main(*, write: bool) -> int:
    """Make every prompt that `prompts.toml` lists; returns the exit code."""
    prompts = tomllib.loads((PROMPTS / "prompts.toml").read_text())["prompt"]
    changed = 0
    for prompt in prompts:
        source = prompt["source"]
        samples = speak(prompt["text"], source["voice"], source["words_per_minute"])
        made, path = wav(samples), PROMPTS / prompt["file"]
        if path.is_file() and path.read_bytes() == made:
            print(f"{path.name}: the same, {len(samples) / 2 / RATE:.2f} s")
        else:
            changed += 1
            print(f"{path.name}: differs, {len(samples) / 2 / RATE:.2f} s")
        if write:
            path.write_bytes(made)
            linear = np.frombuffer(samples, "<i2").astype(np.int16)
            print(f'sha256 = "{hashlib.sha256(made).hexdigest()}"')
            for codec in ("PCMU", "PCMA"):
                digest = hashlib.sha256(g711.encode(codec, linear)).hexdigest()
                print(f'payload_sha256.{codec} = "{digest}"')
    return 1 if changed and not write else 0


if __name__ == "__main__":
    raise SystemExit(main(write="--write" in sys.argv[1:]))
