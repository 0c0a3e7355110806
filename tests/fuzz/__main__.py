"""`make fuzz`: coverage-guided fuzzing of every parser, one after the other, by atheris.

Starts from inputs that the parsers take and from all that broke one. What breaks one now is written
to `tests/data/fuzz/NAME/`, where the unit tests read it from then on. Exits 1 when something broke.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys

from fuzz.seeds import FOUND
from fuzz.targets import TARGETS


def main() -> int:
    """Fuzz the named parsers, or all."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each parser")
    chosen = parser.parse_args()
    broken = [name for name in chosen.names or TARGETS if not _holds(name, chosen.seconds)]
    print(f"broken: {', '.join(broken)}" if broken else "nothing broke")
    return 1 if broken else 0


def _holds(name: str, seconds: int) -> bool:
    """Whether nothing broke the parser; the engine runs in a process of its own, and ends it."""
    kept = FOUND / name
    kept.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fuzz.engine", name, str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    lines = done.stdout.decode(errors="replace").splitlines()
    runs = next((line for line in reversed(lines) if line.startswith("Done ")), "")
    print(f"{name:10} {'BROKEN' if done.returncode else 'holds'} {runs}", flush=True)
    if done.returncode:
        print("\n".join(lines[-40:]))
    with contextlib.suppress(OSError):  # there are found inputs in it
        kept.rmdir()
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
