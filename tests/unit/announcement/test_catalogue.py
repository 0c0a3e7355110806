"""The catalogue: the shipped prompts are in order, and a folder that is not is refused."""

from __future__ import annotations

import hashlib
import io
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
from onrecord.announcement.adapters.catalogue import PromptFault, load_prompts
from onrecord.announcement.domain.prompt import Prompt
from onrecord.announcement.settings import SHIPPED_PROMPTS
from onrecord.rtp import g711

CALLER_WAV = "recorded-caller.1.en-GB.wav"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped prompts, to be damaged."""
    return Path(shutil.copytree(SHIPPED_PROMPTS, tmp_path / "prompts"))


def _samples(prompt: Prompt) -> g711.Samples:
    with wave.open(io.BytesIO(prompt.wav)) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2").astype(np.int16)


def _edit(folder: Path, old: str, new: str) -> None:
    listing = folder / "prompts.toml"
    text = listing.read_text()
    assert old in text
    listing.write_text(text.replace(old, new, 1))


def test_the_shipped_prompts_inform_both_parties_of_recording() -> None:
    """One for the caller and one for the agent, naming recording, training and quality."""
    prompts = {prompt.party: prompt for prompt in load_prompts(SHIPPED_PROMPTS)}
    assert set(prompts) == {"caller", "agent"}
    for prompt in prompts.values():
        assert prompt.language == "en-GB"
        assert "recorded" in prompt.acts
        assert prompt.purposes == {"training", "quality"}
        assert all(word in prompt.text for word in ("recorded", "training", "quality"))


def test_the_shipped_prompts_are_short_and_nearly_equal_in_length() -> None:
    """Both parties wait for the longer one: at most six seconds, half a second apart."""
    lengths = [prompt.seconds for prompt in load_prompts(SHIPPED_PROMPTS)]
    assert max(lengths) <= 6
    assert max(lengths) - min(lengths) <= 0.5


def test_the_listed_payload_digests_are_those_of_the_encoded_audio() -> None:
    """What the recorder must report is what our own G.711 makes of the prompt."""
    for prompt in load_prompts(SHIPPED_PROMPTS):
        assert set(prompt.payload_sha256) == {"PCMU", "PCMA"}
        for codec, digest in prompt.payload_sha256.items():
            payload = g711.encode(codec, _samples(prompt))
            assert len(payload) == prompt.samples == prompt.packets * 160
            assert hashlib.sha256(payload).hexdigest() == digest


def test_a_prompt_is_neither_silent_nor_clipped() -> None:
    """Somebody must be able to hear it."""
    for prompt in load_prompts(SHIPPED_PROMPTS):
        loudest = int(np.abs(_samples(prompt).astype(np.int32)).max())
        assert 10_000 < loudest < 32_767


def test_an_altered_file_is_refused_by_name(folder: Path) -> None:
    """The message names the prompt and the file and says what to do."""
    path = folder / CALLER_WAV
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    with pytest.raises(PromptFault, match=r"recorded-caller.*not the approved audio.*Put the"):
        load_prompts(folder)


def test_a_missing_file_is_refused_by_name(folder: Path) -> None:
    """The message names the prompt."""
    (folder / CALLER_WAV).unlink()
    with pytest.raises(PromptFault, match="recorded-caller has no audio"):
        load_prompts(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('party = "caller"', 'party = "everybody"'),
        ('acts = ["recorded", "monitored"]', "acts = []"),
        ("version = 1", "version = 0"),
        ('file = "recorded-caller', 'file = "../recorded-caller'),
        ("[[prompt]]", "[[promt]]"),
        ('language = "en-GB"', 'language = "en-GB'),
    ],
)
def test_a_listing_with_a_fault_is_refused(folder: Path, old: str, new: str) -> None:
    """Vocabulary, versions, file names and syntax are checked before any audio is read."""
    _edit(folder, old, new)
    with pytest.raises(PromptFault, match=r"prompts\.toml cannot be used"):
        load_prompts(folder)


def test_one_version_may_not_be_listed_twice(folder: Path) -> None:
    """A version that was played stays what it was."""
    _edit(folder, 'id = "recorded-agent"', 'id = "recorded-caller"')
    with pytest.raises(PromptFault, match="lists one version of a prompt twice"):
        load_prompts(folder)


@pytest.mark.parametrize(
    ("channels", "rate", "samples", "message"),
    [
        (2, 8000, 160, "mono"),
        (1, 16000, 320, "8000 Hz"),
        (1, 8000, 0, "whole number"),
        (1, 8000, 161, "whole number"),
    ],
)
def test_audio_that_the_recorder_cannot_play_is_refused(
    folder: Path, channels: int, rate: int, samples: int, message: str
) -> None:
    """Mono, 8 kHz, a whole number of 20 ms frames: found at start, not on the first call."""
    path = folder / CALLER_WAV
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(bytes(2 * channels * samples))
    _edit(folder, before, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(PromptFault, match=message):
        load_prompts(folder)
