"""Prompts from a folder: `prompts.toml` and the WAV files that it names, all checked at start.

The audio is kept in memory, so that a file lost later takes no notice away.
"""

from __future__ import annotations

import hashlib
import io
import tomllib
import wave
from pathlib import Path
from typing import Literal

from onrecord.announcement.domain.prompt import FRAME_SAMPLES, RATE, Prompt
from onrecord.contracts.events import Act, Party, Purpose
from onrecord.contracts.fact import Sha256, Slug, Text
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_SECONDS = 60
_SAMPLE_OCTETS = 2


class PromptFault(Exception):
    """A prompt cannot be used; the message names the file, what is wrong and what to do."""


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid")

    voice: Text
    words_per_minute: int = Field(gt=0)
    made_with: Text


class _PromptRow(BaseModel):
    """One `[[prompt]]` of prompts.toml."""

    model_config = ConfigDict(extra="forbid")

    id: Slug
    version: int = Field(ge=1)
    party: Party
    language: Text
    text: str = Field(min_length=1, max_length=2000)
    acts: frozenset[Act] = Field(min_length=1)
    purposes: frozenset[Purpose] = Field(min_length=1)
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.wav$")
    sha256: Sha256
    payload_sha256: dict[Literal["PCMU", "PCMA"], Sha256] = Field(min_length=1)
    source: _Source


class _PromptFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompt: list[_PromptRow] = Field(min_length=1, max_length=1000)


def load_prompts(folder: Path) -> tuple[Prompt, ...]:
    """Read and check every prompt of a folder. Raises PromptFault on the first that is wrong."""
    listing = folder / "prompts.toml"
    try:
        rows = _PromptFile.model_validate(tomllib.loads(listing.read_text("utf-8"))).prompt
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise PromptFault(f"{listing} cannot be used: {error}") from error
    prompts = tuple(_load(folder, row) for row in rows)
    versions = [(prompt.id, prompt.version) for prompt in prompts]
    if len(set(versions)) < len(versions):
        raise PromptFault(f"{listing} lists one version of a prompt twice: new words, new version")
    return prompts


def _load(folder: Path, row: _PromptRow) -> Prompt:
    path = folder / row.file
    try:
        wav = path.read_bytes()
    except OSError as error:
        raise PromptFault(f"prompt {row.id} has no audio: {error}. Put the file back") from error
    found = hashlib.sha256(wav).hexdigest()
    if found != row.sha256:
        raise PromptFault(
            f"prompt {row.id}: {path} is not the approved audio: its SHA-256 is {found}, "
            f"prompts.toml says {row.sha256}. Put the approved file back or enter a new version"
        )
    return Prompt(
        id=row.id,
        version=row.version,
        party=row.party,
        language=row.language,
        text=row.text,
        acts=row.acts,
        purposes=row.purposes,
        wav=wav,
        sha256=row.sha256,
        samples=_samples(path, wav),
        payload_sha256={str(codec): digest for codec, digest in row.payload_sha256.items()},
        source=f"{row.source.made_with}; {row.source.voice}, {row.source.words_per_minute} wpm",
    )


def _samples(path: Path, wav: bytes) -> int:
    """The length of the audio in samples, if it is what a recorder can play."""
    try:
        with wave.open(io.BytesIO(wav)) as reader:
            shape = (reader.getnchannels(), reader.getsampwidth(), reader.getframerate())
            samples = int(reader.getnframes())
    except (wave.Error, EOFError) as error:
        raise PromptFault(f"{path} is not a PCM WAV file: {error}") from error
    if shape != (1, _SAMPLE_OCTETS, RATE):
        raise PromptFault(f"{path} must be mono, 16 bit, {RATE} Hz")
    if samples == 0 or samples % FRAME_SAMPLES or samples > MAX_SECONDS * RATE:
        raise PromptFault(
            f"{path} has {samples} samples: a whole number of 20 ms frames ({FRAME_SAMPLES}) "
            f"and at most {MAX_SECONDS} s are allowed"
        )
    return samples
