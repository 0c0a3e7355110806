"""A consent ledger as a process of its own, and the facts of calls to feed it with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as rpc
from onrecord.contracts.event import Event, call_event
from onrecord.contracts.registry import fact_class
from onrecord.platform.facts import to_wire

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TIMEOUT = 30.0
CANARY = "+44 7700 900 123 canary"

Stub: TypeAlias = "rpc.LedgerAsyncStub"  # it exists in the stubs' types only


class LedgerProcess:
    """`python -m onrecord.consent_ledger` on one gRPC port, started as often as needed."""

    def __init__(
        self, folder: Path, port: int, http_port: int, mongo: str, **settings: str
    ) -> None:
        """`settings` are the names without prefix, in lower case."""
        key = folder / "permit.pem"
        key.write_bytes(
            KEY.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        self.address = f"127.0.0.1:{port}"
        self.http_port = http_port
        own = {
            "mongo": mongo,
            "permit_private_key": str(key),
            "grpc_listen": self.address,
            "http_listen": f"127.0.0.1:{http_port}",
            "data": str(folder),
            "node": f"ledger-{port}",
            **settings,
        }
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ONRECORD_")}
        self._environment = {
            **inherited,
            **{f"ONRECORD_{name.upper()}": value for name, value in own.items()},
        }
        self._log = folder / f"ledger-{port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it may not serve yet."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "onrecord.consent_ledger"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> int:
        """End it in good order; gives its exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def wait(self) -> tuple[int, str]:
        """Wait until it ends by itself: its exit code and what it said."""
        assert self._process is not None
        return self._process.wait(30), self._log.read_text()

    @asynccontextmanager
    async def stub(self, credentials: grpc.ChannelCredentials | None = None) -> AsyncIterator[Stub]:
        """A client of its door, which reconnects quickly; plain without credentials."""
        options = [("grpc.max_reconnect_backoff_ms", 200)]
        async with (
            grpc.aio.insecure_channel(self.address, options=options)
            if credentials is None
            else grpc.aio.secure_channel(self.address, credentials, options=options)
        ) as channel:
            yield rpc.LedgerStub(channel)


def fact(
    call: str, event_type: str, fields: dict[str, Any] | None = None, discriminator: str = ""
) -> Event:
    """An event of a call: its type's example, with other `fields` where given."""
    cls = fact_class(event_type)
    content = {**cls.EXAMPLE, **(fields or {})}
    return call_event(call, cls.model_validate(content), NOON, discriminator)


def told_call(call: str) -> list[Event]:
    """The facts of a call up to the moment where both parties have been told."""
    owed = [
        {
            "party": party,
            "method": "prompt",
            "language": "en-GB",
            "acts": ["recorded"],
            "purposes": ["quality"],
        }
        for party in ("caller", "agent")
    ]
    return [
        fact(call, "call.started", {"caller_number": CANARY, "worker": "signalling-1"}),
        fact(call, "policy.decided", {"obligations": owed}),
        fact(call, "call.answered"),
        *(given(call, party) for party in ("caller", "agent")),
    ]


def given(call: str, party: str) -> Event:
    """The notice that one party was given."""
    span = dict(fact_class("notice.given").EXAMPLE["span"])  # type: ignore[call-overload]
    span["leg"] = f"service-{party}"
    return fact(call, "notice.given", {"party": party, "span": span}, f"{party}:0")


def stored(call: str, permit_id: str, seconds: float = 57.0, *, final: bool = True) -> Event:
    """The `recording.stored` of a call with one unit on each party's leg."""
    example = dict(fact_class("recording.stored").EXAMPLE["units"][0])  # type: ignore[index]
    started = NOON + timedelta(seconds=5)
    ended = started + timedelta(seconds=seconds)
    units = [
        {
            **example,
            "leg": leg,
            "object_key": f"{call}/{leg}/1-0",
            "key_ref": f"{permit_id}/{number}",
            "started_at": started.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "ended_at": ended.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        for number, leg in enumerate(("caller", "agent"))
    ]
    return fact(call, "recording.stored", {"units": units, "unit_count": 2, "final": final}, "1:0")


async def append(ledger: Stub, events: Sequence[Event]) -> list[pb.Committed]:
    """Append and wait."""
    request = pb.AppendRequest(events=[to_wire(event) for event in events])
    reply = await ledger.Append(request, timeout=TIMEOUT, wait_for_ready=True)
    return list(reply.entries)


async def ask_permit(ledger: Stub, call: str, number: int = 0) -> pb.RequestPermitResponse:
    """Ask for a permit, relying on the facts of `told_call`."""
    request = pb.RequestPermitRequest(
        call_id=call,
        permit_id=f"{call}:p{number}",
        event_ids=[event.event_id for event in told_call(call)],
        media_node="media-1",
    )
    return await ledger.RequestPermit(request, timeout=TIMEOUT, wait_for_ready=True)


async def read(ledger: Stub, request: pb.ReadRequest) -> list[dict[str, Any]]:
    """The canonical objects that Read gives."""
    return [
        json.loads(one.canonical)
        async for one in ledger.Read(request, timeout=TIMEOUT, wait_for_ready=True)
    ]


async def read_all(ledger: Stub) -> list[dict[str, Any]]:
    """The whole log, page by page."""
    entries: list[dict[str, Any]] = []
    while page := await read(ledger, pb.ReadRequest(index=len(entries))):
        entries += page
    return entries


def assert_gapless(entries: Sequence[dict[str, Any]]) -> None:
    """I4: indexes and seqs without gaps, one entry for each event id, time never falls."""
    assert [entry["index"] for entry in entries] == list(range(len(entries)))
    assert len({entry["event_id"] for entry in entries}) == len(entries)
    seqs: dict[str, int] = {}
    for entry in entries:
        assert entry["seq"] == seqs.get(entry["stream"], 0)
        seqs[entry["stream"]] = entry["seq"] + 1
    recorded = [entry["recorded_at"] for entry in entries]
    assert recorded == sorted(recorded)


async def verdict_of(ledger: Stub, call: str) -> dict[str, Any]:
    """Wait for the call's verdict."""
    return await _stated(ledger, call, "call.verdict")


async def amended_verdict_of(ledger: Stub, call: str) -> dict[str, Any]:
    """Wait for a later finding about the call."""
    return await _stated(ledger, call, "call.verdict_amended")


async def _stated(ledger: Stub, call: str, event_type: str) -> dict[str, Any]:
    async with asyncio.timeout(TIMEOUT):
        while True:
            entries = await read(ledger, pb.ReadRequest(stream=f"call/{call}"))
            found = [entry for entry in entries if entry["type"] == event_type]
            if found:
                assert len(found) == 1
                return dict(found[0]["fields"])
            await asyncio.sleep(0.05)  # The log can only be asked.


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status and text with which an RPC is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""
