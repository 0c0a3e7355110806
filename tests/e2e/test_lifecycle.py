"""Starting, stopping and killing a stack: nothing is left, and the next start is clean."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from onrecord.softphone import answering
from onrecord.standalone.endpoints import read_endpoints
from onrecord.standalone.probes import says_ready
from processes import descendants, started_since, until
from stack import ONRECORD, STOP_SECONDS, WAIT_SECONDS, RunningStack, laboratory, running_stack

FOLDER_IN_USE = 4


async def one_call(stack: RunningStack) -> str:
    """A recorded call, told by its verdict."""
    async with laboratory(stack, answering()) as lab:
        head = await lab.head()
        outgoing = await lab.dial()
        await outgoing.wait_answered(WAIT_SECONDS)
        call = await lab.id_of_call_after(head)
        await lab.event(call, "recording.started")
        outgoing.say([os.urandom(160) for _ in range(25)])
        await outgoing.wait_said(WAIT_SECONDS)
        outgoing.hang_up()
        verdict = await lab.event(call, "call.verdict")
        assert verdict.fields["verdict"] == "recorded"
    return call


def recorded_calls(data: Path) -> set[str]:
    """What `onrecord calls` lists as recorded."""
    found = subprocess.run(
        [ONRECORD, "calls", "--json", "--verdict", "recorded", "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )
    return {call["call"] for call in json.loads(found.stdout)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_after_a_stop_nothing_is_left_and_the_next_start_is_clean(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C, kill and kill -9 of the supervisor; earlier calls are still there afterwards."""
    data = tmp_path / "data"
    before = set(descendants())
    with running_stack(data) as stack:
        first = await one_call(stack)
        assert set(stack.pids()) >= {"signalling", "media-mover", "kafka", "mongo"}
        code = stack.stop(number)
        assert code == (0 if number != signal.SIGKILL else -signal.SIGKILL)
        await until(lambda: not started_since(before), WAIT_SECONDS)
        assert (number == signal.SIGKILL) == (data / "endpoints.json").exists()
    with running_stack(data) as stack:
        second = await one_call(stack)
        # Retrieval follows Kafka, which begins anew with each start.
        await until(lambda: {first, second} <= recorded_calls(data), WAIT_SECONDS)


async def test_nothing_that_a_stack_keeps_is_for_other_users(tmp_path: Path) -> None:
    """Audio, log, keys and spans of a call are their owner's alone, whatever the umask."""
    data = tmp_path / "data"
    earlier = os.umask(0o022)
    try:
        with running_stack(data) as stack:
            await one_call(stack)
            made = [*data.glob("*/**/*"), data / "mover.sock"]
            modes = {path: path.lstat().st_mode & 0o077 for path in made}
    finally:
        os.umask(earlier)
    assert {path.relative_to(data).parts[0] for path in made} >= {"objects", "mongo", "spans"}
    assert not {path: oct(mode) for path, mode in modes.items() if mode and not _hidden(path, data)}


def _hidden(path: Path, data: Path) -> bool:
    """Whether a folder above it keeps others out."""
    above = [folder for folder in path.parents if data in folder.parents]
    return any(not folder.stat().st_mode & 0o077 for folder in above)


async def test_two_stacks_side_by_side(tmp_path: Path) -> None:
    """Each has its own ports and folder; a call through one is not seen in the other."""
    with running_stack(tmp_path / "one") as one, running_stack(tmp_path / "two") as two:
        assert not set(one.endpoints.addresses.values()) & set(two.endpoints.addresses.values())
        first, second = await one_call(one), await one_call(two)
        async with laboratory(one) as lab:
            assert (await lab.observe(first, {})).entries
            assert not (await lab.observe(second, {})).entries


def test_a_second_start_on_the_same_folder_says_so(stack: RunningStack) -> None:
    """It fails with its own exit code and names the folder and what to do."""
    second = subprocess.run(
        [ONRECORD, "up", "--data", str(stack.data)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert second.returncode == FOLDER_IN_USE
    assert f"a stack already runs on {stack.data}" in second.stderr
    assert (stack.data / "endpoints.json").exists()


async def test_a_stop_during_a_call_ends_it_in_order(tmp_path: Path) -> None:
    """Both phones are hung up on, and the recording is put away before the end."""
    data = tmp_path / "data"
    with running_stack(data) as stack:
        async with laboratory(stack, answering()) as lab:
            head = await lab.head()
            outgoing = await lab.dial()
            await outgoing.wait_answered(WAIT_SECONDS)
            call = await lab.id_of_call_after(head)
            await lab.event(call, "recording.started")
            outgoing.say([os.urandom(160) for _ in range(25)])
            await outgoing.wait_said(WAIT_SECONDS)
            stack.process.send_signal(signal.SIGTERM)
            assert await outgoing.wait_over(WAIT_SECONDS) == "far_side_hung_up"
            assert await lab.agent.calls[-1].wait_over(WAIT_SECONDS) == "far_side_hung_up"
        assert await asyncio.to_thread(stack.process.wait, STOP_SECONDS) == 0
        assert not list((data / "spool").rglob("*.open"))
    with running_stack(data):
        await until(lambda: call in recorded_calls(data), WAIT_SECONDS)


async def test_whatever_dies_comes_back_where_it_was(tmp_path: Path) -> None:
    """Every process is killed once; each is up again on its port and the next call is recorded."""
    with running_stack(tmp_path / "data") as stack:
        first = await one_call(stack)
        before = stack.pids()
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        await until(
            lambda: (
                stack.pids().keys() == before.keys()
                and not set(stack.pids().values()) & set(before.values())
            ),
            WAIT_SECONDS,
        )
        await until(lambda: all_ready(stack), WAIT_SECONDS)
        assert read_endpoints(stack.data).addresses == stack.endpoints.addresses
        second = await one_call(stack)
        await until(lambda: {first, second} <= recorded_calls(stack.data), WAIT_SECONDS)


async def all_ready(stack: RunningStack) -> bool:
    """Whether every service says that it is ready."""
    doors = [a for name, a in stack.endpoints.addresses.items() if name.startswith("http.")]
    for door in doors:
        host, _, port = door.rpartition(":")
        if await says_ready(host, int(port))():
            return False
    return True
