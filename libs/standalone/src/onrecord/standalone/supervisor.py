"""Starts processes in stages, keeps each running on its own, and stops them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import groupby

from onrecord.standalone.process import ProcessSpec, Report, SupervisedProcess


class Supervisor:
    """Owns the processes of one stack.

    `changed` is called after every restart, when `pids` has a new number. A process that dies is
    restarted alone; the others are not touched.
    """

    def __init__(
        self, specs: Sequence[ProcessSpec], report: Report, changed: Callable[[], None]
    ) -> None:
        """Nothing runs before `start`."""
        self._processes = [SupervisedProcess(spec, report, changed) for spec in specs]
        self.fast = asyncio.Event()

    @property
    def pids(self) -> dict[str, int]:
        """The number of each process that runs now."""
        return {p.spec.name: p.pid for p in self._processes if p.pid is not None}

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process died and was started again, where it was."""
        return {p.spec.name: p.restarts for p in self._processes if p.restarts}

    async def start(self) -> None:
        """Bring every stage up in turn; on a failure stop what runs and raise `StartFailed`."""
        try:
            for _, stage in groupby(sorted(self._processes, key=_stage), _stage):
                await _together([process.start() for process in stage])
        except BaseException:
            self.fast.set()
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all, rank by rank; `fast` set, before or meanwhile, kills what is left at once."""
        for _, rank in groupby(sorted(self._processes, key=_rank), _rank):
            await asyncio.gather(*(process.stop(self.fast) for process in rank))


async def _together(starts: list[Coroutine[None, None, None]]) -> None:
    """Wait for all starts; the first failure ends the waiting for the others."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _stage(process: SupervisedProcess) -> int:
    return process.spec.stage


def _rank(process: SupervisedProcess) -> int:
    return process.spec.stop_rank
