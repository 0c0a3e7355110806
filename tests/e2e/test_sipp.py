"""Calls of programs that are not ours: sipp on both sides, ffmpeg and sox as listeners."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onrecord.rtp import g711
from onrecord.standalone.checks import ANY_CALL, run_checks
from onrecord.standalone.checks.audio import EDGE_FRAMES
from onrecord.standalone.checks.observed import Observed
from stack import ONRECORD, WAIT_SECONDS, Laboratory, RunningStack, laboratory

FRAME = 160
PLAYED_FRAMES = 600
"""12 s, longer than any notice."""

SURELY_KEPT = 150
SURELY_BEFORE = 150
"""Frames at the end and at the beginning of what is played: after and during the notice."""

Find = Callable[[str], str]
SCENARIOS = Path(__file__).parent / "sipp"


@pytest.fixture
def played(tmp_path: Path) -> dict[str, bytes]:
    """What each side plays: noise of which no two frames are equal, as files for sipp."""
    source = random.Random(60)  # noqa: S311 - reproducible, not secret
    audio = {party: source.randbytes(FRAME * PLAYED_FRAMES) for party in ("caller", "agent")}
    for party, data in audio.items():
        (tmp_path / f"{party}.ulaw").write_bytes(data)
    return audio


@contextlib.contextmanager
def sipp(folder: Path, program: str, scenario: Path, *arguments: str) -> Iterator[None]:
    """Run a scenario for one call beside the test; it must end well."""
    command = [program, *arguments, "-sf", str(scenario), "-m", "1", "-nostdin", "-trace_err"]
    command += ["-i", "127.0.0.1", "-mi", "127.0.0.1", "-timeout", "60", "-timeout_error"]
    with (folder / f"{scenario.stem}.out").open("w") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
        try:
            yield
            code = process.wait(WAIT_SECONDS * 2)
        finally:
            process.kill()
            process.wait()
    if code:
        print((folder / f"{scenario.stem}.out").read_text()[-3000:])
    assert code == 0, f"sipp {scenario.stem} ended with {code}"


@pytest.mark.parametrize("way", ["u1", "t1"])
async def test_what_sipp_plays_is_in_the_wav(
    stack: RunningStack, tmp_path: Path, played: dict[str, bytes], peer: Find, way: str
) -> None:
    """By UDP and by TCP; each channel, decoded by ffmpeg and by sox, holds its party's audio."""
    async with laboratory(stack, port=0) as lab:
        call, seen = await a_call_by_sipp(lab, tmp_path, peer("sipp"), way)
        assert (await lab.event(call, "call.verdict")).fields["verdict"] == "recorded"
    for party, audio in played.items():
        kept = b"".join(frame.payload for frame in seen.frames(party))
        assert audio.endswith(kept)
        assert SURELY_KEPT * FRAME <= len(kept) <= (PLAYED_FRAMES - SURELY_BEFORE) * FRAME
    assert not [f for f in run_checks(seen, ANY_CALL) if not f.holds]
    wav = play(stack, call, tmp_path)
    for decoded in (by_ffmpeg(peer("ffmpeg"), wav), by_sox(peer("sox"), wav)):
        channels_hold(decoded, played, seen)


async def a_call_by_sipp(
    lab: Laboratory, folder: Path, program: str, way: str
) -> tuple[str, Observed]:
    """One call from sipp, `way` as its `-t` has it, to sipp, and what can be seen of it."""
    head = await lab.head()
    host, port = lab.stack.sip
    agent = sipp(folder, program, SCENARIOS / "agent.xml", "-p", str(lab.stack.agent[1]))
    dialled = ("-t", way, "-s", "1000", f"{host}:{port}")
    caller = sipp(folder, program, SCENARIOS / "caller.xml", *dialled)
    with agent, caller:
        call = await lab.id_of_call_after(head)
        await lab.event(call, "recording.started")
        await lab.event(call, "call.ended")
    await lab.event(call, "call.verdict")
    return call, await lab.observe(call, {})


def play(stack: RunningStack, call: str, folder: Path) -> Path:
    """Fetch the call's audio with the command that a person would use."""
    wav = folder / "call.wav"
    done = subprocess.run(
        [ONRECORD, "play", call, "-o", str(wav), "--data", str(stack.data), "--json"],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["octets"] == wav.stat().st_size
    return wav


def by_ffmpeg(program: str, wav: Path) -> bytes:
    """The samples as ffmpeg decodes them: 16 bit, both channels, interleaved."""
    command = [program, "-v", "error", "-i", str(wav), "-f", "s16le", "-"]
    return subprocess.run(command, capture_output=True, timeout=WAIT_SECONDS, check=True).stdout


def by_sox(program: str, wav: Path) -> bytes:
    """The samples as sox decodes them: 16 bit, both channels, interleaved."""
    command = [program, str(wav), "-t", "raw", "-e", "signed", "-b", "16", "-L", "-"]
    return subprocess.run(command, capture_output=True, timeout=WAIT_SECONDS, check=True).stdout


def channels_hold(decoded: bytes, played: dict[str, bytes], seen: Observed) -> None:
    """Caller left, agent right: what was played after the notice, the notice itself, no more."""
    samples = np.frombuffer(decoded, "<i2").reshape(-1, 2)
    for column, party in enumerate(("caller", "agent")):
        channel = samples[:, column].tobytes()
        other = samples[:, 1 - column].tobytes()
        after = linear(played[party][-SURELY_KEPT * FRAME :])
        assert after in channel
        assert after not in other
        before = played[party][: SURELY_BEFORE * FRAME]
        for at in range(0, len(before), FRAME):
            assert linear(before[at : at + FRAME]) not in channel
        notice = seen.frames(f"service-{party}")
        assert (
            linear(b"".join(frame.payload for frame in notice[EDGE_FRAMES:-EDGE_FRAMES])) in channel
        )


def linear(ulaw: bytes) -> bytes:
    """The 16-bit samples of mu-law octets."""
    return g711.decode("PCMU", ulaw).astype("<i2").tobytes()
