"""The benches, small: that they run, judge and say what they are to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
CALLS = 3
FIGURES = {
    "calls",
    "recorded_calls",
    "heard_due_frames",
    "heard_lost_frames",
    "stored_due_frames",
    "stored_lost_frames",
    "setup_added_p50_ms",
    "setup_added_p99_ms",
    "rtp_through_p50_ms",
    "cpu_per_call_second_ms",
    "cpu_per_whole_call_ms",
}
PROCESSES = {
    "announcement",
    "consent-ledger",
    "media-mover",
    "media-recorder",
    "retrieval",
    "signalling",
    "phones",
}


def test_bench_call_records_every_call_and_prints_one_line(tmp_path: Path) -> None:
    """A few short calls pass, and the line has every figure; how large they are is not judged."""
    arguments = ["--calls", str(CALLS), "--talk", "2", "--late", "10000", "--data", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.call", *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.stdout.count("\n") == 1, done.stderr
    line = json.loads(done.stdout)
    assert (line["bench"], line["verdict"], line["broken"]) == ("call", "pass", [])
    assert done.returncode == 0
    assert line.keys() >= FIGURES | {"peer", "ratio", "seed", "machine"}
    assert (line["calls"], line["recorded_calls"]) == (CALLS, CALLS)
    assert line["heard_due_frames"] > CALLS * 2 * 100
    assert line["cpu_per_call_second_ms"].keys() >= PROCESSES
