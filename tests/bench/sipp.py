"""sipp as callers and as an agent: calls at a steady rate, and what became of them."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SCENARIOS = Path(__file__).parent / "scenarios"
LOOPBACK = "127.0.0.1"
_END_SECONDS = 30.0
"""How long the last calls may take after the last one should have ended."""


@dataclass(frozen=True)
class Load:
    """Calls to place: how many, how many a second, how long each lasts once it is answered.

    `core` is where sipp runs; None leaves it to the system. `number` is whom they call.
    """

    calls: int
    per_second: float
    talk_seconds: float
    core: int | None = None
    number: str = "902079460999"

    @property
    def seconds(self) -> float:
        """From the first INVITE to the last BYE, if nothing is late."""
        return self.calls / self.per_second + self.talk_seconds


@dataclass(frozen=True)
class Placed:
    """What sipp says of its calls; `seconds` is how long it took for all of them."""

    succeeded: int
    failed: int
    retransmitted: int
    seconds: float


@contextlib.contextmanager
def agent(port: int, folder: Path, core: int | None = None) -> Iterator[None]:
    """Run an agent's phone that takes every call while the context lasts."""
    arguments = ["-sf", str(SCENARIOS / "agent.xml"), "-p", str(port)]
    with _sipp(folder, "agent", core, *arguments) as process:
        yield
        process.kill()


class Callers:
    """Callers at work; `wait` for what became of their calls."""

    def __init__(self, process: subprocess.Popen[bytes], statistics: Path, load: Load) -> None:
        self._process = process
        self._statistics = statistics
        self._load = load
        self._began = time.monotonic()

    def wait(self) -> Placed:
        """Wait until every call has ended; those that hang have failed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self._load.seconds + _END_SECONDS)
        seconds = time.monotonic() - self._began
        with self._statistics.open(newline="") as lines:
            *_, last = csv.DictReader(lines, delimiter=";")
        succeeded, failed, retransmitted = (
            int(last[column])
            for column in ("SuccessfulCall(C)", "FailedCall(C)", "Retransmissions(C)")
        )
        # A call that did not end, or that sipp did not even begin, has failed as well.
        missing = self._load.calls - succeeded - failed
        return Placed(succeeded, failed + missing, retransmitted, seconds)


@contextlib.contextmanager
def callers(server: tuple[str, int], load: Load, folder: Path) -> Iterator[Callers]:
    """Place the calls through `server` and leave no caller behind."""
    statistics = folder / "caller.csv"
    arguments = [
        "-sf", str(SCENARIOS / "caller.xml"), "-s", load.number, "-m", str(load.calls),
        "-r", f"{load.per_second:g}", "-d", str(round(load.talk_seconds * 1e3)), "-l", "100000",
        "-trace_stat", "-stf", str(statistics), "-fd", "1", f"{server[0]}:{server[1]}",
    ]  # fmt: skip
    with _sipp(folder, "caller", load.core, *arguments) as process:
        yield Callers(process, statistics, load)


@contextlib.contextmanager
def _sipp(
    folder: Path, name: str, core: int | None, *arguments: str
) -> Iterator[subprocess.Popen[bytes]]:
    command = ["sipp", "-i", LOOPBACK, "-nostdin", "-buff_size", str(4 << 20), *arguments]
    with (
        (folder / f"{name}.log").open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, cwd=folder) as process,
    ):
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        try:
            yield process
        finally:
            process.kill()
