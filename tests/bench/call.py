"""`make bench-call`: many recorded calls at once beside the same phones calling each other.

First the callers call the agents' phone directly: that is the bare SIP and RTP echo of these
phones. Then they place the same calls through `onrecord up`, one process per service, and every
call is recorded from its notices to the hang-up, all at the same time.

Holds when no call failed, each verdict is `recorded`, each frame that a phone sent between the
bridge and the hang-up was heard by the other and, from the permit on, is in the stored units, and
the checker finds nothing else. The figures are reported, not judged. `ratio` is the median set-up
delay (INVITE to 200, at the caller) through onrecord, divided by the direct one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.cpu import CpuTimes, read_cpu
from bench.judging import judge
from bench.outcome import Options, Outcome, Run
from bench.phones import Address, PhoneProcess, Placement, phone_process
from bench.report import progress
from onrecord.contracts.entry import Entry
from onrecord.standalone.follow import following
from processes import until
from stack import RunningStack, running_stack

GATE_SECONDS = 60.0
VERDICT_SECONDS = 120.0
_GATE_DECIDED = ("recording.started", "permit.refused", "notice.failed", "call.ended")


@dataclass
class Published:
    """What is known of the calls by what was published so far: entries by call and type."""

    calls: dict[str, dict[str, Entry]] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """Take an entry; of more than one of a type the first counts."""
        if entry.type == "call.started":
            self.calls.setdefault(entry.call, {})
        if entry.call in self.calls:
            self.calls[entry.call].setdefault(entry.type, entry)

    def reached(self, *types: str) -> int:
        """How many calls have an entry of one of these types."""
        return sum(not found.keys().isdisjoint(types) for found in self.calls.values())


def main() -> int:
    """Run the bench and print its line; 0 when its target holds."""
    parser = argparse.ArgumentParser(prog="bench-call", description=__doc__)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--per-second", type=float, default=5.0, help="how fast they are placed")
    parser.add_argument("--talk", type=float, default=20.0, help="seconds with all calls up")
    parser.add_argument("--late", type=float, default=40.0, help="ms that the phones may be late")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, help="keep the stack's data in this folder")
    chosen = parser.parse_args()
    options = Options(chosen.calls, chosen.per_second, chosen.talk, chosen.late, chosen.seed)
    # The one line is all that is on standard output.
    with contextlib.redirect_stdout(sys.stderr), _folder(chosen.data) as data:
        report = _measure(options, data).report()
    return report.publish()


@contextlib.contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="onrecord-bench-") as folder:
        yield Path(folder)


def _measure(options: Options, data: Path) -> Outcome:
    with phone_process() as phones:
        progress(f"{options.calls} calls directly from phone to phone")
        direct = asyncio.run(_directly(options, phones))
        progress("starting onrecord")
        with running_stack(data) as stack:
            progress(f"{options.calls} calls through onrecord")
            return asyncio.run(_through(options, phones, stack, direct))


async def _directly(options: Options, phones: PhoneProcess) -> Run:
    pids = {"phones": phones.pid}
    begun = read_cpu(pids)
    progress(f"  {await phones.place(_placement(options, ('127.0.0.1', 0), None))} are up")
    talking = await _talk(options, pids)
    pairs = await phones.hang_up()
    return Run(pairs, talking, read_cpu(pids).since(begun))


async def _through(
    options: Options, phones: PhoneProcess, stack: RunningStack, direct: Run
) -> Outcome:
    pids = {**stack.pids(), "phones": phones.pid}
    published = Published()
    async with following(stack.endpoints["kafka"], published.take):
        begun = read_cpu(pids)
        answered = await phones.place(_placement(options, stack.agent, stack.sip))
        progress(f"  {answered} are up")
        await _reached(published, answered, GATE_SECONDS, *_GATE_DECIDED)
        progress(f"  {published.reached('recording.started')} are being recorded")
        talking = await _talk(options, pids)
        pairs = await phones.hang_up()
        await _reached(published, answered, VERDICT_SECONDS, "call.verdict")
        run = Run(pairs, talking, read_cpu(pids).since(begun))
    progress(f"  {published.reached('call.verdict')} have a verdict; checking each call")
    known = published.calls.items()
    calls = [await judge(stack.places, call, found, pairs) for call, found in known]
    died = [name for name, pid in stack.pids().items() if pids[name] != pid]
    return Outcome(options, direct, run, calls, died)


def _placement(options: Options, agent: Address, server: Address | None) -> Placement:
    return Placement(options.calls, options.per_second, agent, server, options.seed)


async def _talk(options: Options, pids: Mapping[str, int]) -> CpuTimes:
    """Let the phones talk, and say what CPU that took."""
    before = read_cpu(pids)
    await asyncio.sleep(options.talk_seconds)
    return read_cpu(pids).since(before)


async def _reached(published: Published, calls: int, timeout: float, *types: str) -> None:
    """Wait until so many calls have come so far; what is missing then is found by the checks."""
    with contextlib.suppress(TimeoutError):
        await until(lambda: published.reached(*types) >= calls, timeout)


if __name__ == "__main__":
    sys.exit(main())
