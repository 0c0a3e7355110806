"""The supervisor, with small stand-in processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from onrecord.standalone import process as process_module
from onrecord.standalone.errors import StartFailed
from onrecord.standalone.process import ProcessSpec
from onrecord.standalone.supervisor import Supervisor
from processes import until

DEADLINE = 20.0
# Writes its number to a file when it is up; says why it ends.
STAND_IN = """
import os, pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])
def end(*_):
    with open(place.parent / "ended", "a") as file:
        file.write(place.name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in sys.argv else end)
place.write_text(str(os.getpid()))
if "once" in sys.argv:
    sys.exit("it cannot be")
signal.pause()
"""


def spec(folder: Path, name: str, *arguments: str, **changes: object) -> ProcessSpec:
    """A stand-in that is up when it has written its file."""
    place = folder / name

    async def probe() -> str:
        return "" if place.exists() else "no file yet"

    values = {"start_seconds": DEADLINE, "stop_seconds": DEADLINE, "folder": folder} | changes
    return ProcessSpec(
        name,
        (sys.executable, "-I", "-S", "-c", STAND_IN, str(place), *arguments),
        {},
        folder / f"{name}.log",
        probe,
        **values,  # type: ignore[arg-type]
    )


def ignore() -> None:
    """Nothing to do."""


async def test_starts_in_stages_and_stops_in_ranks(tmp_path: Path) -> None:
    """A lower stage is up before a higher one begins; the stop follows the ranks."""
    seen: list[bool] = []
    first = spec(tmp_path, "first", stage=0, stop_rank=2)
    second = spec(tmp_path, "second", stage=1, stop_rank=1)

    async def probe() -> str:
        seen.append((tmp_path / "first").exists())
        return await second.probe()

    watched = ProcessSpec(**{**vars(second), "probe": probe})
    supervisor = Supervisor([watched, first], print, ignore)
    await supervisor.start()
    assert set(supervisor.pids) == {"first", "second"}
    await supervisor.stop()
    assert all(seen)
    assert (tmp_path / "ended").read_text().split() == ["second", "first"]
    assert supervisor.pids == {}


async def test_what_dies_is_started_again_and_alone(tmp_path: Path) -> None:
    """A kill -9 of one process brings it back under a new number; the other is not touched."""
    changes: list[None] = []
    lines: list[str] = []
    supervisor = Supervisor(
        [spec(tmp_path, "one"), spec(tmp_path, "two")], lines.append, lambda: changes.append(None)
    )
    await supervisor.start()
    try:
        before = supervisor.pids
        os.kill(before["one"], signal.SIGKILL)
        await until(lambda: any("up again" in line for line in lines), DEADLINE)
        assert supervisor.pids["two"] == before["two"]
        assert supervisor.pids["one"] != before["one"]
        assert "ended by SIGKILL" in lines[0]
        assert changes
    finally:
        await supervisor.stop()


async def test_a_process_that_does_not_come_up_fails_the_start_with_its_log(
    tmp_path: Path,
) -> None:
    """The error names the process and shows the end of its log; nothing is left running."""
    bad = spec(tmp_path, "bad", "once", stage=1)

    async def never() -> str:
        return "not yet"

    bad = ProcessSpec(**{**vars(bad), "probe": never})
    supervisor = Supervisor([spec(tmp_path, "good"), bad], print, ignore)
    with pytest.raises(StartFailed, match=r"bad did not come up: it ended with code 1") as error:
        await supervisor.start()
    assert "it cannot be" in str(error.value)
    assert supervisor.pids == {}


async def test_a_process_that_is_never_ready_fails_the_start_at_its_deadline(
    tmp_path: Path,
) -> None:
    """The reason of its probe is in the error."""
    slow = spec(tmp_path, "slow", start_seconds=0.1)

    async def never() -> str:
        return "the moon is not full"

    supervisor = Supervisor([ProcessSpec(**{**vars(slow), "probe": never})], print, ignore)
    with pytest.raises(StartFailed, match="the moon is not full"):
        await supervisor.start()
    assert supervisor.pids == {}


async def test_what_does_not_stop_is_killed_at_its_limit(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is gone after its own limit, and the person is told."""
    lines: list[str] = []
    supervisor = Supervisor(
        [spec(tmp_path, "deaf", "stubborn", stop_seconds=0.2)], lines.append, ignore
    )
    await supervisor.start()
    await supervisor.stop()
    assert supervisor.pids == {}
    assert any("killed" in line for line in lines)


async def test_a_fast_stop_does_not_wait(tmp_path: Path) -> None:
    """Once `fast` is set, even a process that ignores SIGTERM ends at once."""
    supervisor = Supervisor([spec(tmp_path, "deaf", "stubborn")], print, ignore)
    await supervisor.start()
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    supervisor.fast.set()
    async with asyncio.timeout(DEADLINE / 2):
        await stopping
    assert supervisor.pids == {}


async def test_nothing_survives_the_supervisor(tmp_path: Path) -> None:
    """A kill -9 of the supervising process takes its processes with it."""
    program = tmp_path / "supervise.py"
    program.write_text(
        f"""
import asyncio, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]
from pathlib import Path
from test_supervisor import spec, ignore
from onrecord.standalone.supervisor import Supervisor
async def main():
    supervisor = Supervisor([spec(Path({str(tmp_path)!r}), "child")], print, ignore)
    await supervisor.start()
    print("up", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    )
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs on this loop
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        child = int((tmp_path / "child").read_text())
        parent.kill()
    await until(lambda: not _runs(child), DEADLINE)


def test_backoff_is_bounded() -> None:
    """Restarts slow down, yet a part that can come back is back within seconds."""
    assert 0 < process_module.FIRST_BACKOFF < process_module.LAST_BACKOFF <= 5.0


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
