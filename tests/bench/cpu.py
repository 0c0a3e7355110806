"""CPU time of processes, as the kernel accounts it (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE_COLUMNS = slice(3, 5)
_COUNTED_COLUMNS = slice(0, 8)
"""Of the line `cpu`: what follows counts guests, which user time holds already."""


@dataclass(frozen=True)
class CpuTimes:
    """CPU seconds since their start: of each process by its name, and of the whole machine."""

    processes: Mapping[str, float]
    machine: float

    def since(self, earlier: CpuTimes) -> CpuTimes:
        """What was used between two readings; a process that is not in both is left out."""
        common = self.processes.keys() & earlier.processes.keys()
        used = {name: self.processes[name] - earlier.processes[name] for name in sorted(common)}
        return CpuTimes(used, self.machine - earlier.machine)

    @property
    def by_others(self) -> float:
        """What the machine used beside these processes."""
        return max(0.0, self.machine - sum(self.processes.values()))


def read_cpu(pids: Mapping[str, int]) -> CpuTimes:
    """Read now, all threads of each process; one that is gone is left out."""
    found = {}
    for name, pid in pids.items():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        except OSError:
            continue
        # The name in parentheses may hold anything; utime and stime are fields 14 and 15.
        user, system = stat.rpartition(")")[2].split()[11:13]
        found[name] = (int(user) + int(system)) / _TICKS
    total = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0].split()[1:]
    columns = [int(column) for column in total]
    busy = sum(columns[_COUNTED_COLUMNS]) - sum(columns[_IDLE_COLUMNS])
    return CpuTimes(found, busy / _TICKS)
