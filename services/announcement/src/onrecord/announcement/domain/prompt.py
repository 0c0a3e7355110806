"""Prompts: approved audio, with what its words say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onrecord.contracts.events import Act, Party, Purpose

RATE = 8000
"""Samples, and in G.711 octets, per second."""

FRAME_SAMPLES = 160
"""Samples in one packet of 20 ms, the packet time of every prompt."""


@dataclass(frozen=True)
class Prompt:
    """One version of a pre-recorded message: the audio, and what a party who was sent it was told.

    `wav` holds a whole number of 20 ms frames. `payload_sha256` is the digest of the audio as it
    goes out, by codec name.
    """

    id: str
    version: int
    party: Party
    language: str
    text: str
    acts: frozenset[Act]
    purposes: frozenset[Purpose]
    wav: bytes
    sha256: str
    samples: int
    payload_sha256: Mapping[str, str]
    source: str

    @property
    def seconds(self) -> float:
        """How long it takes to play."""
        return self.samples / RATE

    @property
    def packets(self) -> int:
        """How many packets it takes to send."""
        return self.samples // FRAME_SAMPLES
