"""One supervised process: started, watched, restarted with back-off, stopped within a limit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onrecord.standalone import launch
from onrecord.standalone.errors import StartFailed
from onrecord.standalone.probes import Probe

START_SECONDS = 60.0
STOP_SECONDS = 15.0
FIRST_BACKOFF = 0.2
LAST_BACKOFF = 5.0
STEADY_SECONDS = 30.0
"""A process that lived this long starts its back-off anew."""
_POLL_SECONDS = 0.05
_TAIL_LINES = 15
_TAIL_OCTETS = 16_384


@dataclass(frozen=True)
class ProcessSpec:
    """What to run and when it counts as up.

    `environment` is the whole of it: nothing is inherited. `stage` orders the start (lower first),
    `stop_rank` the stop (lower first); processes of one rank go together.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    probe: Probe
    stage: int = 0
    stop_rank: int = 0
    folder: Path = field(default_factory=Path.cwd)
    inherited: tuple[int, ...] = ()
    start_seconds: float = START_SECONDS
    stop_seconds: float = STOP_SECONDS


Report = Callable[[str], None]
"""Takes one line about a process for the person who runs the stack."""


class SupervisedProcess:
    """Keeps one process running from `start` to `stop`.

    Used on the loop of the main thread only: the kernel ties a child to the thread that made it.
    """

    def __init__(self, spec: ProcessSpec, report: Report, changed: Callable[[], None]) -> None:
        """`changed` is called whenever the process has another number."""
        self.spec = spec
        self._report = report
        self._changed = changed
        self.restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The number of the running process; None while there is none."""
        process = self._process
        return process.pid if process and process.returncode is None else None

    async def start(self) -> None:
        """Run it and wait until it is up; `StartFailed` with the end of its log if it does not."""
        _keep_previous(self.spec.log)
        process = await self._spawn()
        reason = await self._until_up(process)
        if reason:
            self._kill()
            raise StartFailed(f"{self.spec.name} did not come up: {reason}\n{self._tail()}")
        self._keeper = asyncio.create_task(self._keep(process), name=f"keep {self.spec.name}")

    async def stop(self, fast: asyncio.Event) -> None:
        """End it: SIGTERM, and SIGKILL when its limit is over or `fast` is set. Never raises."""
        self._stopping = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        if not fast.is_set():
            process.terminate()
            if not await _ends(process, fast, self.spec.stop_seconds) and not fast.is_set():
                limit = self.spec.stop_seconds
                self._report(f"{self.spec.name} did not stop within {limit:.0f} s: killed")
        self._kill()
        await process.wait()

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        backoff = FIRST_BACKOFF
        while True:
            began = time.monotonic()
            code = await process.wait()
            self._kill()
            if time.monotonic() - began > STEADY_SECONDS:
                backoff = FIRST_BACKOFF
            self._report(f"{self.spec.name} {_ending(code)}: restarting; log: {self.spec.log}")
            self._changed()
            self.restarts += 1
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LAST_BACKOFF)
            process = await self._spawn()
            self._changed()
            reason = await self._until_up(process)
            self._report(
                f"{self.spec.name} " + (f"is not up: {reason}" if reason else "is up again")
            )

    async def _spawn(self) -> asyncio.subprocess.Process:
        launcher = (sys.executable, "-I", "-S", launch.__file__, str(os.getpid()))
        with self.spec.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *launcher,
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.spec.environment),
                cwd=self.spec.folder,
                pass_fds=self.spec.inherited,
                # A session of its own: Ctrl-C reaches the supervisor only, which keeps the order.
                start_new_session=True,
            )
        return self._process

    async def _until_up(self, process: asyncio.subprocess.Process) -> str:
        deadline = time.monotonic() + self.spec.start_seconds
        while time.monotonic() < deadline:
            reason = await self.spec.probe()
            if process.returncode is not None:
                return f"it {_ending(process.returncode)}"
            if not reason:
                return ""
            await asyncio.sleep(_POLL_SECONDS)
        return f"{reason} after {self.spec.start_seconds:.0f} s"

    def _kill(self) -> None:
        """End the process and whatever it started; harmless when nothing is left."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _tail(self) -> str:
        try:
            with self.spec.log.open("rb") as log:
                log.seek(max(0, self.spec.log.stat().st_size - _TAIL_OCTETS))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        shown = "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])
        return f"the last lines of {self.spec.log}:\n{shown or '  (empty)'}"


async def _ends(process: asyncio.subprocess.Process, fast: asyncio.Event, seconds: float) -> bool:
    """Wait for its end, at most so long and no longer than until `fast` is set."""
    waits = {asyncio.ensure_future(process.wait()), asyncio.ensure_future(fast.wait())}
    _, pending = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    return process.returncode is not None


def _ending(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _keep_previous(log: Path) -> None:
    """One earlier log is kept, so that neither grows over many starts."""
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
