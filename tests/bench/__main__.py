"""`make bench`: runs every bench, one after the other, and prints a table of what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

BENCHES = ("call", "b2bua", "fuzz_sip")
"""Each is the module `bench.NAME` and the target `bench-NAME`, there with dashes."""

COLUMNS = ("verdict", "ratio", "peer")


def main() -> int:
    """Run all; 0 when the target of each holds."""
    found = {name: _run(name) for name in BENCHES}
    console = Console(soft_wrap=True)
    table = Table("bench", *COLUMNS, box=None, pad_edge=False)
    for name, result in found.items():
        table.add_row(name, *(str(result.get(key, "")) for key in COLUMNS))
    console.print(table)
    for name, result in found.items():
        figures = Table("figure", name, box=None, pad_edge=False)
        for figure in (key for key in result if key not in ("bench", *COLUMNS)):
            figures.add_row(figure, _shown(result[figure]))
        console.print("", figures, sep="\n")
    return 0 if all(result.get("verdict") == "pass" for result in found.values()) else 1


def _run(name: str) -> Mapping[str, Any]:
    """The line of one bench; without one it failed, and standard error says how."""
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}"], stdout=subprocess.PIPE, text=True, check=False
    )
    lines = done.stdout.splitlines()
    if not lines:
        return {"verdict": f"no result (exit code {done.returncode})"}
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return "; ".join(map(str, value))
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
