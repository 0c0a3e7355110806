"""A real stack for end-to-end tests: the `onrecord up` process, phones, what can be seen of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onrecord.contracts.entry import Entry
from onrecord.softphone import PhoneCall, Softphone
from onrecord.softphone.phone import Behaviour
from onrecord.standalone import ports
from onrecord.standalone.checks.observed import Observed, PhoneTape, Release
from onrecord.standalone.checks.reader import Places, log_head, observe
from onrecord.standalone.doors import Listener, RetrievalDoor, retrieval
from onrecord.standalone.endpoints import Endpoints, read_endpoints
from onrecord.standalone.errors import Refused
from onrecord.standalone.follow import CallFollower, following
from processes import until

ONRECORD = str(Path(sys.executable).parent / "onrecord")
START_SECONDS = 90.0
STOP_SECONDS = 60.0
WAIT_SECONDS = 30.0
CALLER_NUMBER = "02079460123"

ROUTES = """\
[peers]
trunk = ["127.0.0.1"]

[[route]]
prefix = "9"
record = false
to = "sip:{agent}"

[[route]]
prefix = "7"
to = "sip:{agent}"
line = "strict"
notice = "on_answer"
on_no_permit = "refuse"

[[route]]
prefix = ""
to = "sip:{agent}"
line = "main"
notice = "on_answer"
on_no_permit = "continue"

[emergency]
numbers = ["999", "112", "18000"]
prefixes = ["", "9"]
to = "sip:{agent}"
"""


@dataclass
class RunningStack:
    """A stack that `onrecord up` runs, and the address where it looks for the agent."""

    data: Path
    process: subprocess.Popen[str]
    endpoints: Endpoints
    agent: tuple[str, int]
    output: list[str] = field(default_factory=list)

    @property
    def sip(self) -> tuple[str, int]:
        """Where it takes calls."""
        host, _, port = self.endpoints["sip_udp"].rpartition(":")
        return host, int(port)

    @property
    def mongo_uri(self) -> str:
        """The embedded MongoDB-wire server."""
        return f"mongodb://{self.endpoints['mongo']}/?w=majority&journal=true"

    @property
    def places(self) -> Places:
        """Where the checker reads."""
        return Places(
            self.mongo_uri, self.endpoints["kafka"], self.endpoints.objects, self.data / "spool"
        )

    def pids(self) -> dict[str, int]:
        """The processes as `endpoints.json` lists them now."""
        return read_endpoints(self.data).pids

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal to the supervisor and wait for its end."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def running_stack(
    data: Path, *, environment: Mapping[str, str] | None = None, routes: str = ROUTES
) -> Iterator[RunningStack]:
    """Run `onrecord up` on `data` while the context lasts; its logs are shown when it fails."""
    agent = ports.reserve(socket.SOCK_DGRAM)
    data.mkdir(parents=True, exist_ok=True)
    routes_file = data / "test-routes.toml"
    routes_file.write_text(routes.format(agent=f"127.0.0.1:{agent.number}"), encoding="utf-8")
    with (
        (data / "up.stderr").open("a") as stderr,
        subprocess.Popen(
            [ONRECORD, "up", "--json", "--data", str(data), "--routes", str(routes_file)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=_plain_environment() | dict(environment or {}),
        ) as process,
    ):
        try:
            _await_ready(process, data)
            yield RunningStack(data, process, read_endpoints(data), ("127.0.0.1", agent.number))
        except BaseException:
            show_logs(data)
            raise
        finally:
            agent.release()
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise


def _plain_environment() -> dict[str, str]:
    """The environment without what would hide that a line is not flushed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def show_logs(data: Path) -> None:
    """Print the end of every log, for the report of a failed test."""
    for log in [data / "up.stderr", *sorted((data / "logs").glob("*.log"))]:
        if log.exists():
            lines = log.read_text(errors="replace").splitlines()[-40:]
            print(f"--- {log.name}", *lines, sep="\n")


def _await_ready(process: subprocess.Popen[str], data: Path) -> None:
    assert process.stdout is not None
    deadline = time.monotonic() + START_SECONDS
    os.set_blocking(process.stdout.fileno(), False)
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if line:
            found = json.loads(line)
            assert found.get("ready"), found
            return
        assert process.poll() is None, f"ended with {process.returncode}: {_stderr(data)}"
        time.sleep(0.05)  # Another process; select() would not see what is buffered here.
    raise AssertionError(f"not ready after {START_SECONDS} s: {_stderr(data)}")


def _stderr(data: Path) -> str:
    return (data / "up.stderr").read_text(errors="replace")[-4000:]


@dataclass
class Laboratory:
    """A running stack with two phones and a view of what is published."""

    stack: RunningStack
    caller: Softphone
    agent: Softphone
    follower: CallFollower
    door: RetrievalDoor

    async def dial(self, number: str = "1000") -> PhoneCall:
        """Place a call through the stack."""
        return await self.caller.call(number, self.stack.sip, caller=CALLER_NUMBER)

    async def head(self) -> int:
        """The log's last index, to tell a new call from earlier ones."""
        return await log_head(self.stack.mongo_uri)

    async def id_of_call_after(self, head: int) -> str:
        """The id of the first call after this head."""
        return await self.follower.call_started_after(head, WAIT_SECONDS)

    async def event(self, call: str, *types: str) -> Entry:
        """Wait for the first entry of one of these types."""
        return await self.follower.event(call, frozenset(types), WAIT_SECONDS)

    async def listen(self, call: str) -> Release | None:
        """Play the call once retrieval knows its verdict; None when there is nothing to play."""
        await until(lambda: self._has_verdict(call), WAIT_SECONDS)
        listener = Listener("test-listener", "quality")
        pieces, first_ns = [], 0
        try:
            async for piece in self.door.audio(call, listener):
                first_ns = first_ns or time.time_ns()
                pieces.append(piece)
        except Refused:
            return None
        return Release(b"".join(pieces), first_ns, listener.person, listener.purpose)

    async def observe(
        self,
        call: str,
        phones: Mapping[str, PhoneTape],
        release: Release | None = None,
        private: tuple[str, ...] = (CALLER_NUMBER,),
    ) -> Observed:
        """Read everything that can be seen of a call from outside."""
        return await observe(self.stack.places, call, phones, release, private)

    async def _has_verdict(self, call: str) -> bool:
        return any(c.verdict for c in await self.door.search("", 500) if c.call_id == call)


@contextlib.asynccontextmanager
async def laboratory(
    stack: RunningStack, behaviour: Behaviour | None = None, **agent: Any
) -> AsyncIterator[Laboratory]:
    """Phones and views on a running stack while the context lasts."""
    host, port = stack.agent
    async with (
        following(stack.endpoints["kafka"], lambda entry: None) as follower,
        Softphone(
            **{"host": host, "port": port, "user": "agent", "behaviour": behaviour, **agent}
        ) as agent_phone,
        Softphone(user="caller", codecs=("PCMU",)) as caller,
        retrieval(stack.data) as door,
    ):
        yield Laboratory(stack, caller, agent_phone, follower, door)
