"""`make bench-b2bua`: signalling without media beside sippy's `b2bua_simple`, call by call.

One sipp calls another through each of the two in turn, at the same rate, with the same scenarios;
server and sipp have a core each. Ours routes as in production, without recording: its facts go to
the journal, for no ledger runs, its dialogs to disk, its log lines to a file. The peer writes
nothing. `ratio` is our CPU time per call divided by the peer's, the median of the rounds.

Holds when the ratio is at most a fifth, when one core carries 400 calls a second of which none
fails, and when 1,000 idle dialogs (500 calls) take less than 12 MB over the idle process. The CPU
of the whole control plane per recorded call is reported, not judged: `onrecord up` between phones
that send no RTP.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cpu import CpuTimes, read_cpu
from bench.report import Report, progress
from bench.servers import Server, onrecord, sippy
from bench.sipp import Load, Placed, agent, callers
from integration.signalling_stand import free_port
from stack import running_stack

MOST_RATIO = 0.2
MOST_IDLE_MB = 12.0
IDLE_CALLS = 500
SETTLE_SECONDS = 35.0
"""After it no transaction of the last call is left: RFC 3261's longest timers are 32 s."""
NOTICE_SECONDS = 8.0
"""Answer to recording: the notices are five of them."""
MOST_BUSY_OTHERS = 0.5
"""Cores: where others take more, a call that fails says nothing about us."""


@dataclass(frozen=True)
class Options:
    """What the run is told; `folder` is where servers keep their files."""

    rounds: int
    calls: int
    per_second: float
    most_per_second: float
    recorded_calls: int
    folder: Path
    cores: tuple[int, int]


@dataclass(frozen=True)
class Loaded:
    """A server under a load: what became of the calls, and the CPU of server and machine."""

    placed: Placed
    cpu: CpuTimes

    @property
    def milliseconds(self) -> float:
        """The server's CPU time for each call."""
        return 1e3 * self.cpu.processes["server"] / max(1, self.placed.succeeded)


def main() -> int:
    """Run the bench and print its line; 0 when its target holds."""
    parser = argparse.ArgumentParser(prog="bench-b2bua", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each server beside the other")
    parser.add_argument("--calls", type=int, default=500, help="in each round")
    parser.add_argument("--per-second", type=float, default=50.0, help="in each round")
    parser.add_argument("--most-per-second", type=float, default=400.0, help="on one core")
    parser.add_argument("--recorded-calls", type=int, default=20)
    chosen = parser.parse_args()
    server_core, sipp_core, *_ = sorted(os.sched_getaffinity(0)) * 2
    with (
        contextlib.redirect_stdout(sys.stderr),
        tempfile.TemporaryDirectory(prefix="onrecord-bench-") as folder,
    ):
        report = _measure(
            Options(
                chosen.rounds,
                chosen.calls,
                chosen.per_second,
                chosen.most_per_second,
                chosen.recorded_calls,
                Path(folder),
                (server_core, sipp_core),
            )
        )
    return report.publish()


def _measure(options: Options) -> Report:
    beside, broken = _beside(options)
    most, broken_at_most = _at_most(options)
    idle, broken_idle = _idle(options)
    return Report(
        bench="b2bua",
        broken=[*broken, *broken_at_most, *broken_idle],
        peer="sippy 2.5.0 b2bua_simple",
        ratio=beside["cpu_ratio"],
        seed=0,
        figures=beside | most | idle | _control_plane(options),
    )


def _beside(options: Options) -> tuple[dict[str, Any], list[str]]:
    """Both servers in turn under the same load."""
    load = Load(options.calls, options.per_second, 1.0, options.cores[1])
    found: dict[str, list[Loaded]] = {"onrecord": [], "sippy": []}
    port = free_port()
    with (
        agent(port, options.folder, options.cores[1]),
        onrecord(port, options.folder / "beside", options.cores[0]) as ours,
        sippy(port, options.folder / "beside", options.cores[0]) as theirs,
    ):
        for round_number in range(options.rounds):
            for name, server in (("sippy", theirs), ("onrecord", ours)):
                loaded = _under(server, load, options.folder)
                found[name].append(loaded)
                progress(f"round {round_number + 1}: {name} {loaded.milliseconds:.2f} ms a call")
    ratios = [
        mine.milliseconds / peers.milliseconds
        for mine, peers in zip(found["onrecord"], found["sippy"], strict=True)
    ]
    figures: dict[str, Any] = {"rounds": options.rounds, "per_second": options.per_second}
    broken = []
    for name, loads in found.items():
        figures[f"{name}_cpu_per_call_ms"] = [round(one.milliseconds, 3) for one in loads]
        figures[f"{name}_failed_calls"] = failed = sum(one.placed.failed for one in loads)
        if failed:
            broken.append(
                f"{failed} calls through {name} failed at {options.per_second:g} a second"
            )
    figures["cpu_ratio"] = ratio = round(statistics.median(ratios), 3)
    if ratio > MOST_RATIO:
        broken.append(f"a call takes {ratio} of the peer's CPU, more than {MOST_RATIO}")
    return figures, broken


def _at_most(options: Options) -> tuple[dict[str, Any], list[str]]:
    """Ours alone at the rate that one core must carry."""
    rate = options.most_per_second
    load = Load(round(rate * 10), rate, 1.0, options.cores[1])
    port = free_port()
    with (
        agent(port, options.folder, options.cores[1]),
        onrecord(port, options.folder / "most", options.cores[0]) as server,
    ):
        loaded = _under(server, load, options.folder)
    placed, others = loaded.placed, loaded.cpu.by_others / loaded.placed.seconds
    progress(f"{rate:g} calls a second: {placed}, {loaded.milliseconds:.2f} ms a call")
    broken = []
    if placed.failed:
        void = "void: others were busy; " if others - 1 > MOST_BUSY_OTHERS else ""
        broken.append(f"{void}{placed.failed} calls failed at {rate:g} a second")
    figures = {
        "most_per_second": rate,
        "most_calls": load.calls,
        "most_failed_calls": placed.failed,
        "most_retransmitted": placed.retransmitted,
        "most_cpu_per_call_ms": round(loaded.milliseconds, 3),
        "most_busy_with_sipp_and_others_cores": round(others, 2),
    }
    return figures, broken


def _idle(options: Options) -> tuple[dict[str, Any], list[str]]:
    """The memory of calls in which nothing happens."""
    port = free_port()
    rate = 50.0
    talk = IDLE_CALLS / rate + SETTLE_SECONDS + 5.0
    with (
        agent(port, options.folder, options.cores[1]),
        onrecord(port, options.folder / "idle", options.cores[0]) as server,
    ):
        # What only a first call imports is the process's, not the calls'.
        _under(server, Load(1, 1.0, 0.1, options.cores[1]), options.folder)
        before = server.resident_bytes()
        load = Load(IDLE_CALLS, rate, talk, options.cores[1])
        with callers(server.address, load, options.folder) as calling:
            time.sleep(IDLE_CALLS / rate + SETTLE_SECONDS)
            taken = (server.resident_bytes() - before) / 1e6
            placed = calling.wait()
    progress(f"{IDLE_CALLS} idle calls: {taken:.1f} MB over {before / 1e6:.1f} MB; {placed}")
    figures = {
        "idle_calls": IDLE_CALLS,
        "idle_calls_mb": round(taken, 2),
        "idle_process_mb": round(before / 1e6, 1),
        "idle_failed_calls": placed.failed,
    }
    broken = []
    if taken >= MOST_IDLE_MB:
        broken.append(f"{2 * IDLE_CALLS} idle dialogs take {taken:.1f} MB")
    if placed.failed:
        broken.append(f"{placed.failed} of the idle calls failed")
    return figures, broken


def _control_plane(options: Options) -> dict[str, Any]:
    """What all processes take for a recorded call beside the audio of its people: they send none.

    What they take while nobody calls is measured first and subtracted.
    """
    calls = options.recorded_calls
    load = Load(calls, 1.0, NOTICE_SECONDS, number="02079460999")
    with running_stack(options.folder / "stack") as stack:
        progress(f"{calls} recorded calls through the whole of onrecord")
        pids = stack.pids()
        before = read_cpu(pids)
        time.sleep(load.seconds / 2)
        resting = read_cpu(pids).since(before)
        with agent(stack.agent[1], options.folder):
            before, began = read_cpu(pids), time.monotonic()
            with callers(stack.sip, load, options.folder) as calling:
                placed = calling.wait()
            time.sleep(2.0)  # the verdicts
            used, seconds = read_cpu(pids).since(before), time.monotonic() - began
    rest = {name: cpu * seconds / (load.seconds / 2) for name, cpu in resting.processes.items()}
    each = _milliseconds_each(used.processes, rest, calls)
    return {
        "recorded_calls": calls,
        "recorded_failed_calls": placed.failed,
        "control_plane_cpu_per_call_ms": each,
        "control_plane_cpu_per_call_all_ms": round(sum(each.values()), 1),
    }


def _milliseconds_each(
    used: Mapping[str, float], rest: Mapping[str, float], calls: int
) -> dict[str, float]:
    return {name: round(1e3 * (cpu - rest.get(name, 0.0)) / calls, 1) for name, cpu in used.items()}


def _under(server: Server, load: Load, folder: Path) -> Loaded:
    before = read_cpu({"server": server.pid})
    with callers(server.address, load, folder) as calling:
        placed = calling.wait()
    return Loaded(placed, read_cpu({"server": server.pid}).since(before))


if __name__ == "__main__":
    sys.exit(main())
