"""`make bench-fuzz-sip`: RFC 4475's messages and 100,000 mutated ones, as datagrams and in streams.

First through the SIP core in this process, where the CPU time of each message can be told; then to
a running signalling service over UDP and TCP, with a control OPTIONS after every few of them.

Holds when nothing is raised or logged as an exception, no message takes more than 50 ms of CPU, no
control OPTIONS stays without its 200, no transaction is left in the end, and the service's memory
is flat: after the second half it holds at most 3 MB more than after the first.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.report import Report, percentiles, progress
from bench.servers import Server, onrecord
from fuzz.driver import Driver
from fuzz.mutants import mutants, whole
from integration.signalling_stand import free_port

TORTURE = Path(__file__).parents[1] / "data" / "sip"
EVERY = 50
"""Messages between two control OPTIONS."""
SLOWEST_MS = 50.0
CONTROL_SECONDS = 0.5
CONTROL_TRIES = 20
MOST_GROWTH_MB = 3.0
SETTLE_SECONDS = 35.0
"""Until no transaction is left: RFC 3261's longest timers are 32 s."""
STREAM_MESSAGES = 20
"""How many mutants go into one connection before it is closed."""


@dataclass
class Found:
    """What the run has come to: sentences that say what does not hold, and figures."""

    broken: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def main() -> int:
    """Run the bench and print its line; 0 when its target holds."""
    parser = argparse.ArgumentParser(prog="bench-fuzz-sip", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    found = Found()
    with (
        contextlib.redirect_stdout(sys.stderr),
        tempfile.TemporaryDirectory(prefix="onrecord-bench-") as folder,
    ):
        _core(chosen.messages, chosen.seed, found)
        _service(chosen.messages, chosen.seed, Path(folder), found)
    figures = {"messages": chosen.messages, **found.figures}
    return Report("fuzz-sip", found.broken, "none", None, chosen.seed, figures).publish()


def _messages(count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    torture = (path.read_bytes() for path in sorted(TORTURE.glob("*.sip")))
    return enumerate(itertools.islice(itertools.chain(torture, mutants(seed)), count))


def _core(count: int, seed: int, found: Found) -> None:
    driver = Driver()
    spent: list[float] = []
    deaf = 0
    for number, octets in _messages(count, seed):
        spent.append(_fed(driver, number, octets))
        if spent[-1] > SLOWEST_MS:
            # Its own doing, or a collection of this process's garbage just then?
            again = _fed(Driver(), number, octets)
            progress(f"message {number} took {spent[-1]:.0f} ms of CPU, again {again:.1f} ms")
            if again > SLOWEST_MS:
                found.broken.append(f"message {number} took {again:.0f} ms of CPU")
        if number % EVERY == 0:
            deaf += not driver.is_alive()
        if number % 20_000 == 0:
            progress(f"core: {number} messages, {driver.calls} calls")
    driver.finish()
    if deaf:
        found.broken.append(f"{deaf} controls were not answered by the core")
    if driver.endpoint.next_timer() is not None:
        found.broken.append("a transaction is left in the core")
    found.figures |= {
        "core_calls": driver.calls,
        "core_refused_or_dropped": sum(driver.endpoint.dropped.values()),
        "core_slowest_message_ms": round(max(spent), 3),
        **percentiles("core_message_cpu", spent, "ms"),
    }


def _fed(driver: Driver, number: int, octets: bytes) -> float:
    """Feed a message, every third one as a stream; the milliseconds of CPU that it took."""
    before = time.thread_time()
    if number % 3:
        driver.datagram(octets)
    else:
        driver.stream(octets, number)
    return 1e3 * (time.thread_time() - before)


def _service(count: int, seed: int, folder: Path, found: Found) -> None:
    # Nobody is at the agent's address: whatever call is routed there ends at once.
    with onrecord(free_port(), folder, None) as server:
        held, answered = [], []
        for half in (0, 1):
            answered += _half(server, count // 2, seed + half, found)
            progress(f"service: {count // 2} messages, waiting until the transactions are over")
            time.sleep(SETTLE_SECONDS)
            held.append(server.resident_bytes() / 1e6)
        if server.process.poll() is not None:
            found.broken.append(f"the service ended with {server.process.returncode}")
    log = (folder / "onrecord.log").read_text(encoding="utf-8", errors="replace")
    if faults := sum("Traceback" in line or '"exception"' in line for line in log.splitlines()):
        found.broken.append(f"{faults} exceptions in the service's log")
    growth = held[1] - held[0]
    if growth > MOST_GROWTH_MB:
        found.broken.append(f"the service holds {growth:.1f} MB more after the second half")
    found.figures |= {
        "service_held_mb": [round(megabytes, 1) for megabytes in held],
        "service_growth_mb": round(growth, 2),
        **percentiles("service_control", answered, "ms"),
    }


def _half(server: Server, count: int, seed: int, found: Found) -> list[float]:
    """How long each control took, in milliseconds; two of three messages are datagrams."""
    answered: list[float] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind((server.address[0], 0))
        ours.connect(server.address)
        streamed: list[bytes] = []
        for number, octets in _messages(count, seed):
            if number % 3:
                with contextlib.suppress(OSError):  # an ICMP of an earlier one comes up here
                    ours.send(octets)
            else:
                streamed.append(octets)
            if len(streamed) == STREAM_MESSAGES:
                _stream(server, streamed)
                streamed.clear()
            if number % EVERY == 0:
                milliseconds = _control(ours, seed * 10**7 + number)
                if milliseconds is None:
                    found.broken.append(f"the control after message {number} was not answered")
                    return answered
                answered.append(milliseconds)
    return answered


def _stream(server: Server, messages: Iterable[bytes]) -> None:
    """Send messages on a connection of their own; the service closes it at the first bad frame."""
    with contextlib.suppress(OSError), socket.create_connection(server.address, 5.0) as stream:
        for octets in messages:
            stream.sendall(octets)


def _control(ours: socket.socket, number: int) -> float | None:
    """Send an OPTIONS until its 200 comes, and say how long that took; None when it never does."""
    ours.settimeout(CONTROL_SECONDS)
    control = whole("OPTIONS", number)
    branch = f"branch=z9hG4bKOPTIONS{number}".encode()
    began = time.monotonic()
    for _ in range(CONTROL_TRIES):
        with contextlib.suppress(OSError):
            ours.send(control)
            while True:
                answer = ours.recv(65_535)
                if answer.startswith(b"SIP/2.0 200") and branch in answer:
                    return 1e3 * (time.monotonic() - began)
    return None


if __name__ == "__main__":
    sys.exit(main())
