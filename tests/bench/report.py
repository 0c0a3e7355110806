"""What every bench tells: progress on stderr, one last line of JSON on stdout, an exit code."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Report:
    """The outcome of one bench.

    `broken` are the sentences that say where its target does not hold; without one it passes.
    `ratio` is ours divided by the peer's, of the figure that the bench's docstring names. The names
    in `figures` end in their units.
    """

    bench: str
    broken: Sequence[str]
    peer: str
    ratio: float | None
    seed: int
    figures: Mapping[str, Any]

    def publish(self) -> int:
        """Print the line and give the exit code."""
        verdict = "fail" if self.broken else "pass"
        line = {
            "bench": self.bench,
            "verdict": verdict,
            "broken": list(self.broken),
            **self.figures,
            "peer": self.peer,
            "ratio": self.ratio,
            "seed": self.seed,
            "machine": machine(),
        }
        for sentence in self.broken:
            progress(f"does not hold: {sentence}")
        sys.stdout.write(json.dumps(line) + "\n")
        return 1 if self.broken else 0


def progress(text: str) -> None:
    """Say what is going on."""
    print(text, file=sys.stderr, flush=True)


def percentiles(name: str, values: Sequence[float], unit: str) -> dict[str, float | None]:
    """The median and the 99th percentile as two figures; null where there is nothing."""
    found = np.percentile(values, (50, 99)) if len(values) else (None, None)
    return {
        f"{name}_{rank}_{unit}": None if value is None else round(float(value), 3)
        for rank, value in zip(("p50", "p99"), found, strict=True)
    }


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
