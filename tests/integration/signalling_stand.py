"""Signalling in this process between real sipp peers and real gRPC doors on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import grpc
import grpc.aio
from onrecord.api.announcement.v1 import announcement_pb2 as announcement_pb
from onrecord.api.announcement.v1 import announcement_pb2_grpc as announcement_rpc
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger_pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as ledger_rpc
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as media_pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2_grpc as media_rpc
from onrecord.platform.lifecycle import Chassis, Service
from onrecord.signalling.service import build
from onrecord.signalling.settings import SignallingSettings
from onrecord.standalone import ports
from processes import until

LOOPBACK = "127.0.0.1"
DEADLINE = 30.0
RECORDER_CALLER, RECORDER_AGENT = 20000, 20002
HANG = "hang"

ROUTES = """
[peers]
trunk = ["127.0.0.1"]
[[route]]
prefix = "9"
record = false
to = "sip:127.0.0.1:{agent}"
[[route]]
prefix = "3"
to = ["sip:127.0.0.1:{first}", "sip:127.0.0.1:{agent}"]
line = "failover"
[[route]]
prefix = "7"
to = "sip:127.0.0.1:{agent}"
line = "strict"
on_no_permit = "refuse"
[[route]]
prefix = "1"
to = "sip:127.0.0.1:{agent}"
line = "main"
[emergency]
numbers = ["999", "112"]
prefixes = ["", "9"]
to = "sip:127.0.0.1:{agent}"
"""


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """Return a port that nobody has at this moment, for UDP and TCP: SIP listens on both.

    Not one that the system would give to an outgoing connection meanwhile.
    """
    held = ports.reserve(kind)
    held.release()
    return held.number


class Doors:
    """The doors of the other services: they note every request and fail where a test says so.

    `faults` maps a method to a status, or to `HANG`; `refusals` maps `notice` and `permit` to the
    reason that the answer gives.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []
        self.faults: dict[str, grpc.StatusCode | str] = {}
        self.refusals: dict[str, str] = {}
        self.notice_may_end = asyncio.Event()
        self.notice_may_end.set()
        self.hanging: list[str] = []
        self.changed = asyncio.Condition()
        self.failing_media: asyncio.Queue[str] = asyncio.Queue()

    async def note(self, method: str, request: object, context: grpc.aio.ServicerContext) -> None:
        """Note a request, then fail as the test wants."""
        fault = self.faults.get(method)
        if isinstance(fault, grpc.StatusCode):
            await context.abort(fault, "by the test")
        if fault == HANG:
            await self._hang(method)
        async with self.changed:
            self.asked.append((method, request))
            self.changed.notify_all()

    async def _hang(self, method: str) -> None:
        """Answer never; in `hanging` for as long as the caller waits."""
        async with self.changed:
            self.hanging.append(method)
            self.changed.notify_all()
        try:
            await asyncio.Event().wait()
        finally:
            self.hanging.remove(method)

    def methods(self, *names: str) -> list[str]:
        """Return the methods asked, in order, of those named."""
        return [method for method, _ in self.asked if not names or method in names]

    def facts(self) -> list[dict[str, object]]:
        """Return all facts appended, each once, as `fields` with `type` and `id`."""
        found: dict[str, dict[str, object]] = {}
        for method, request in self.asked:
            if method == "Append" and isinstance(request, ledger_pb.AppendRequest):
                for event in request.events:
                    fields = json.loads(event.fields_json)
                    found[event.event_id] = fields | {"type": event.type, "id": event.event_id}
        return list(found.values())

    def appended(self, kind: str) -> list[str]:
        """Return the ids of all facts of a type as often as they came."""
        return [
            event.event_id
            for _, request in self.asked
            if isinstance(request, ledger_pb.AppendRequest)
            for event in request.events
            if event.type == kind
        ]

    def fact(self, kind: str) -> dict[str, object]:
        """Return the one fact of a type."""
        (fact,) = [fact for fact in self.facts() if fact["type"] == kind]
        return fact

    async def until_fact(self, kind: str, count: int = 1) -> None:
        """Wait until the ledger has so many facts of a type."""
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(
                lambda: sum(fact["type"] == kind for fact in self.facts()) >= count
            )

    async def until_hanging(self, method: str) -> None:
        """Wait until somebody waits for the answer of a method that never answers."""
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(lambda: method in self.hanging)

    async def until_asked(self, method: str, count: int = 1) -> None:
        """Wait until a method was asked so often."""
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(lambda: len(self.methods(method)) >= count)


def _media(doors: Doors, address: str) -> media_rpc.MediaServicer:
    class Media(media_rpc.MediaServicer):
        async def Open(self, request, context):  # noqa: N802
            await doors.note("Open", request, context)
            legs = [
                media_pb.LegAddress(name=leg.name, host=LOOPBACK, port=RECORDER_CALLER + 2 * place)
                for place, leg in enumerate(request.legs)
            ]
            return media_pb.OpenResponse(legs=legs, media_address=address, media_node="media-t")

        async def Watch(self, request, context):  # noqa: N802
            await doors.note("Watch", request, context)
            cause = await doors.failing_media.get()
            yield media_pb.WatchResponse(failed=media_pb.Failed(cause=cause))

    for name in ("Update", "Record", "Pause", "Stop", "Close", "Renew"):
        setattr(Media, name, _noting(doors, name, getattr(media_pb, f"{name}Response")))
    return Media()


def _announcement(doors: Doors) -> announcement_rpc.AnnouncementServicer:
    class Announcement(announcement_rpc.AnnouncementServicer):
        async def Announce(self, request, context):  # noqa: N802
            await doors.note("Announce", request, context)
            await doors.notice_may_end.wait()
            reason = doors.refusals.get("notice", "")
            return announcement_pb.AnnounceResponse(
                results=[
                    announcement_pb.NoticeResult(
                        party=owed.party,
                        leg=owed.leg,
                        event_id=f"{request.call_id}:notice.given:{owed.leg}:0",
                        given=not reason,
                        reason=reason,
                    )
                    for owed in request.obligations
                ]
            )

    return Announcement()


def _ledger(doors: Doors) -> ledger_rpc.LedgerServicer:
    class Ledger(ledger_rpc.LedgerServicer):
        async def RequestPermit(self, request, context):  # noqa: N802
            await doors.note("RequestPermit", request, context)
            if reason := doors.refusals.get("permit"):
                refused = ledger_pb.PermitRefusal(reason=reason)
                return ledger_pb.RequestPermitResponse(refused=refused)
            granted = ledger_pb.Granted(permit=ledger_pb.Permit(payload=b"p", signature=b"s"))
            return ledger_pb.RequestPermitResponse(granted=granted)

    for name in ("Append", "KeepAlive"):
        setattr(Ledger, name, _noting(doors, name, getattr(ledger_pb, f"{name}Response")))
    return Ledger()


def _noting(doors: Doors, name: str, reply: type) -> object:
    async def method(_self, request, context):
        await doors.note(name, request, context)
        return reply()

    return method


class Stand:
    """A signalling service in this process; `doors` are what it talks to."""

    def __init__(self, folder: Path, *, doors_up: bool, **settings: object) -> None:
        """`settings` replace those of `_settings`."""
        self.doors = Doors()
        self.folder = folder
        self.sip = free_port()
        self.agent = free_port()
        self.first = free_port()
        self.control = free_port(socket.SOCK_STREAM)
        self.service: Service
        self._doors_port = free_port(socket.SOCK_STREAM)
        self._doors_up = doors_up
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._doors_up:
            await self._stack.enter_async_context(serving(self.doors, self._doors_port))
        await self.start()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Run the service until the stand is left."""
        settings = SignallingSettings.model_validate(self.settings())
        chassis = Chassis("signalling", settings)
        self._stack.push_async_callback(chassis.close)
        self.service = build(settings, chassis)
        await self.service.start()
        control = grpc.aio.server()
        for add, servicer, _name in self.service.rpc:
            add(servicer, control)
        control.add_insecure_port(f"{LOOPBACK}:{self.control}")
        await control.start()
        tasks = [asyncio.ensure_future(task()) for task in self.service.tasks]

        async def stop() -> None:
            await control.stop(0)
            await self.service.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._stack.push_async_callback(stop)

    def settings(self) -> dict[str, object]:
        """What the service is told; short times."""
        routes, key = self.folder / "routes.toml", self.folder / "key"
        routes.write_text(ROUTES.format(agent=self.agent, first=self.first), encoding="utf-8")
        key.write_text("00" * 32, encoding="ascii")
        doors = f"{LOOPBACK}:{self._doors_port}"
        return {
            "node": "signalling-t",
            "data": self.folder / "data",
            "sip_listen": f"{LOOPBACK}:{self.sip}",
            "routes": routes,
            "journal_key": key,
            "ledger": doors,
            "media": doors,
            "announcement": doors,
            "ring_seconds": 2.0,
            "media_seconds": 0.6,
            "announce_seconds": 0.8,
            "permit_wait_seconds": 0.6,
            "renew_seconds": 0.2,
            "keepalive_seconds": 0.2,
        } | self._settings


class ProcessStand(Stand):
    """The service as a process of its own, to be killed and started again."""

    async def start(self) -> None:
        """Start the process and wait until it says that it is ready."""
        http = free_port(socket.SOCK_STREAM)
        told = self.settings() | {
            "http_listen": f"{LOOPBACK}:{http}",
            "grpc_listen": f"{LOOPBACK}:{self.control}",
        }
        with (self.folder / "signalling.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "onrecord.signalling", stdout=log, stderr=log,
                env=os.environ | {f"ONRECORD_{k.upper()}": str(v) for k, v in told.items()},
            )  # fmt: skip
        self._stack.push_async_callback(self.kill)
        await until(lambda: _is_ready(http), DEADLINE)

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the process, by default at once and without a word."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        await self._process.wait()

    def terminate(self) -> None:
        """Ask it to stop, and go on at once."""
        self._process.send_signal(signal.SIGTERM)

    async def ended(self, seconds: float) -> int:
        """Wait for its end; return its exit code. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    @property
    def log(self) -> str:
        """What all its processes wrote."""
        return (self.folder / "signalling.log").read_text(errors="replace")


async def _is_ready(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
    status = await reader.readline()
    writer.close()
    return b" 200 " in status


@contextlib.asynccontextmanager
async def serving(doors: Doors, port: int) -> AsyncIterator[None]:
    """Serve all doors on one port."""
    address = f"{LOOPBACK}:{port}"
    server = grpc.aio.server()
    media_rpc.add_MediaServicer_to_server(_media(doors, address), server)
    announcement_rpc.add_AnnouncementServicer_to_server(_announcement(doors), server)
    ledger_rpc.add_LedgerServicer_to_server(_ledger(doors), server)
    server.add_insecure_port(address)
    await server.start()
    yield
    await server.stop(0)


class Sipp:
    """A sipp process with a scenario of ours or of its own; `wait` gives its exit code."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._process = process
        self._errors = errors

    @classmethod
    async def start(cls, folder: Path, name: str, *arguments: str) -> Sipp:
        """Start sipp in the foreground, without a screen."""
        errors = folder / f"{name}.errors"
        process = await asyncio.create_subprocess_exec(
            "sipp", "-i", LOOPBACK, "-nostdin", "-trace_err", "-error_file", str(errors),
            "-timeout", str(int(DEADLINE)), "-timeout_error", *arguments,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        return cls(process, errors)

    async def wait(self) -> None:
        """Wait for its end; fail with its own words unless all its calls did what was expected."""
        code = await asyncio.wait_for(self._process.wait(), DEADLINE + 5)
        words = self._errors.read_text(errors="replace") if self._errors.exists() else ""
        assert code == 0, f"sipp ended with {code}: {words[-1500:]}"

    async def stop(self) -> None:
        """End it, if it still runs."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def agent(
    stand: Stand, *arguments: str, calls: int = 1, port: int = 0
) -> AsyncIterator[Sipp]:
    """Run sipp as the agent's phone; its own `uas` scenario unless told otherwise."""
    scenario = arguments or ("-sn", "uas")
    phone = await Sipp.start(
        stand.folder, "agent", "-p", str(port or stand.agent), "-m", str(calls), *scenario
    )
    try:
        yield phone
    finally:
        await phone.stop()


async def caller(stand: Stand, number: str, *arguments: str, calls: int = 1, port: int = 0) -> Sipp:
    """Run sipp as the caller; its own `uac` scenario unless told otherwise."""
    scenario = arguments or ("-sn", "uac", "-d", "300")
    return await Sipp.start(
        stand.folder, "caller", "-p", str(free_port()), "-s", number, "-m", str(calls),
        *scenario, f"{LOOPBACK}:{port or stand.sip}",
    )  # fmt: skip
