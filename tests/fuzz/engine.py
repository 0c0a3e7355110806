"""One parser under atheris: `python -m fuzz.engine NAME SECONDS`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["onrecord"]):
    from fuzz.targets import TARGETS

from fuzz.seeds import FOUND, seeds

SLOWEST_SECONDS = 5
MOST_MEGABYTES = 2048


def main(name: str, seconds: int) -> None:
    """Fuzz until an input breaks the parser or the time is over; ends the process."""
    with tempfile.TemporaryDirectory(prefix="onrecord-corpus-") as corpus:
        for number, seed in enumerate(seeds(name)):
            Path(corpus, f"seed-{number}").write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            f"-timeout={SLOWEST_SECONDS}",
            f"-rss_limit_mb={MOST_MEGABYTES}",
            f"-artifact_prefix={FOUND / name}/",
        ]
        atheris.Setup([name, *options, corpus], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
