"""What bench-call measured, as the figures and the verdict of its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.cpu import CpuTimes
from bench.frames import Counted, heard, lateness_ms
from bench.judging import Judged
from bench.phones import Pair
from bench.report import Report, percentiles

PEER = "the same softphones calling each other directly"


@dataclass(frozen=True)
class Options:
    """What may be chosen on the command line.

    Phones that send their frames later than `max_late_ms` (99th percentile) measure themselves: the
    run is void.
    """

    calls: int
    per_second: float
    talk_seconds: float
    max_late_ms: float
    seed: int


@dataclass(frozen=True)
class Run:
    """All calls of one way: the two phones of each, and the CPU used.

    `talking` is of the seconds in which all calls were up, `whole` from the first INVITE to the
    last verdict or, directly, to the hang-up.
    """

    pairs: Sequence[Pair]
    talking: CpuTimes
    whole: CpuTimes


@dataclass(frozen=True)
class Outcome:
    """Everything that one run of the bench found; `died` are processes that were started again."""

    options: Options
    direct: Run
    through: Run
    calls: Sequence[Judged]
    died: Sequence[str]

    def report(self) -> Report:
        """Say it."""
        figures = self._figures()
        before, after = figures["setup_direct_p50_ms"], figures["setup_through_p50_ms"]
        ratio = round(after / before, 1) if before and after else None
        return Report("call", self._broken(figures), PEER, ratio, self.options.seed, figures)

    def _figures(self) -> dict[str, Any]:
        relayed = [counted for call in self.calls for counted in call.heard]
        echoed = [
            counted
            for pair in self.direct.pairs
            for counted in (heard(pair.caller, pair.agent, 0), heard(pair.agent, pair.caller, 0))
        ]
        gates = [call.gate_ms for call in self.calls if call.gate_ms is not None]
        return {
            "calls": self.options.calls,
            "placed_per_second": self.options.per_second,
            "talk_seconds": self.options.talk_seconds,
            "recorded_calls": sum(not call.broken for call in self.calls),
            **_counted("heard", relayed),
            **_counted("stored", [call.stored for call in self.calls]),
            **_counted("direct", echoed),
            **_setups(self.direct, self.through),
            **percentiles("answer_to_recording", gates, "ms"),
            **percentiles("rtp_direct", [ms for one in echoed for ms in one.delays_ms], "ms"),
            **percentiles("rtp_through", [ms for one in relayed for ms in one.delays_ms], "ms"),
            **_cpu(self.options, self.direct, self.through),
            **percentiles("phones_late_direct", _lateness_ms(self.direct), "ms"),
            **percentiles("phones_late_through", _lateness_ms(self.through), "ms"),
        }

    def _broken(self, figures: Mapping[str, Any]) -> list[str]:
        sentences = []
        for way in ("direct", "through"):
            late = figures[f"phones_late_{way}_p99_ms"]
            if late is None or late > self.options.max_late_ms:
                sentences.append(f"void: the phones themselves were {late} ms late ({way}, p99)")
        pairs = (*self.direct.pairs, *self.through.pairs)
        failures = Counter(pair.failure for pair in pairs if pair.failure)
        failures.update(sentence for call in self.calls for sentence in call.broken)
        sentences += [f"{count} of the calls: {why}" for why, count in failures.items()]
        if len(self.calls) != self.options.calls:
            sentences.append(f"{len(self.calls)} calls are in the ledger")
        for name in ("heard", "stored", "direct"):
            due, lost = figures[f"{name}_due_frames"], figures[f"{name}_lost_frames"]
            if lost or not due:
                sentences.append(f"{lost} of {due} frames were not {name}")
        sentences += [f"{name} died and was started again" for name in self.died]
        return sentences


def _counted(name: str, counts: Sequence[Counted]) -> dict[str, int]:
    return {
        f"{name}_due_frames": sum(counted.due for counted in counts),
        f"{name}_lost_frames": sum(counted.lost for counted in counts),
    }


def _setups(direct: Run, through: Run) -> dict[str, float | None]:
    """Both set-up delays, and the difference of each percentile: what onrecord adds."""
    figures = {
        **percentiles("setup_direct", _setup_ms(direct), "ms"),
        **percentiles("setup_through", _setup_ms(through), "ms"),
    }
    for rank in ("p50", "p99"):
        before, after = (figures[f"setup_{way}_{rank}_ms"] for way in ("direct", "through"))
        if before is not None and after is not None:
            figures[f"setup_added_{rank}_ms"] = round(after - before, 3)
    return figures


def _setup_ms(run: Run) -> list[float]:
    return [pair.setup_ns / 1e6 for pair in run.pairs if pair.setup_ns is not None]


def _lateness_ms(run: Run) -> list[float]:
    tapes = (tape for pair in run.pairs for tape in (pair.caller, pair.agent))
    return [late for tape in tapes if tape.sent for late in lateness_ms(tape)]


def _cpu(options: Options, direct: Run, through: Run) -> dict[str, Any]:
    """CPU by process: for each second of a call, and for a whole call from INVITE to verdict."""
    call_seconds = options.calls * options.talk_seconds
    talking = _milliseconds_each(through.talking, call_seconds)
    ours = sum(used for name, used in talking.items() if name != "phones")
    return {
        "cpu_per_call_second_ms": talking,
        "cpu_per_call_second_all_services_ms": round(ours, 3),
        "cpu_per_call_second_direct_ms": _milliseconds_each(direct.talking, call_seconds),
        "cpu_per_whole_call_ms": _milliseconds_each(through.whole, options.calls),
        "busy_cores": round(through.talking.machine / options.talk_seconds, 2),
        "busy_with_others_cores": round(through.talking.by_others / options.talk_seconds, 2),
    }


def _milliseconds_each(times: CpuTimes, by: float) -> dict[str, float]:
    return {name: round(1e3 * used / by, 3) for name, used in times.processes.items()}
