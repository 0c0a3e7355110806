"""A real mover and a real writer on loopback, a ledger's door to write to, and two phones."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as ledger_rpc
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2_grpc as rpc
from onrecord.ledger.keys import key_id
from onrecord.ledger.permit import Permit, Position, SignedPermit, sign
from onrecord.platform.clock import utc_now
from onrecord.rtp.packet import Packet, build, parse
from onrecord.rtp.storage.sealing import unseal
from onrecord.rtp.storage.unit import Frame, decode_unit

NODE = "media-1"
DEADLINE = 20.0


class LedgerDoor(ledger_rpc.LedgerServicer):
    """Takes facts as the ledger does (once per event id) and gives unit keys by name."""

    def __init__(self) -> None:
        self.facts: dict[str, ledger.Event] = {}
        self.seed = secrets.token_bytes(16)
        self.changed = asyncio.Condition()

    def key(self, key_ref: str) -> bytes:
        """The one key of this name."""
        return hashlib.sha256(self.seed + key_ref.encode()).digest()

    async def Append(self, request: ledger.AppendRequest, context: Any) -> ledger.AppendResponse:  # noqa: N802
        """Keep what is new."""
        async with self.changed:
            for event in request.events:
                self.facts.setdefault(event.event_id, event)
            self.changed.notify_all()
        committed = [ledger.Committed(event_id=event.event_id) for event in request.events]
        return ledger.AppendResponse(entries=committed)

    async def UnitKeys(  # noqa: N802
        self, request: ledger.UnitKeysRequest, context: Any
    ) -> ledger.UnitKeysResponse:
        """Give the keys that were asked for."""
        permit_id = json.loads(request.permit.payload)["permit_id"]
        numbers = range(request.first, request.first + request.count)
        return ledger.UnitKeysResponse(unit_keys=self.keys(permit_id, numbers))

    def keys(self, permit_id: str, numbers: range) -> list[ledger.UnitKey]:
        """Keys of a permit as they travel."""
        refs = [f"{permit_id}/{number}" for number in numbers]
        return [ledger.UnitKey(key_ref=ref, key=self.key(ref)) for ref in refs]

    async def wait(self, found: Callable[[list[ledger.Event]], bool]) -> list[ledger.Event]:
        """Wait until the facts fulfil this."""
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(lambda: found(list(self.facts.values())))
        return list(self.facts.values())

    def fields(self, kind: str) -> list[dict[str, Any]]:
        """The fields of all facts of a type."""
        return [json.loads(fact.fields_json) for fact in self.facts.values() if fact.type == kind]


class Phone(asyncio.DatagramProtocol):
    """A party that talks every 20 ms: each payload tells its own sequence number."""

    def __init__(self, ssrc: int, sequence: int) -> None:
        self.ssrc, self.sequence = ssrc, sequence
        self.sent: dict[int, bytes] = {}
        self.heard: list[Packet] = []
        self.to: tuple[str, int] | None = None
        self.transport: asyncio.DatagramTransport | None = None
        self.advanced = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        """Keep the socket."""
        self.transport = transport

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        """Keep what is heard."""
        self.heard.append(parse(data))

    @property
    def port(self) -> int:
        """The phone's own port."""
        assert self.transport is not None
        return int(self.transport.get_extra_info("sockname")[1])

    def talk(self) -> None:
        """Send the next packet."""
        assert self.transport is not None
        payload = self.sequence.to_bytes(4, "big") * 40
        packet = Packet(0, self.sequence % 65536, self.sequence * 160 % 2**32, self.ssrc, payload)
        self.sent[self.sequence] = payload
        self.transport.sendto(build(packet), self.to)
        self.sequence += 1
        self.advanced.set()

    async def said(self, packets: int) -> None:
        """Wait until so many more packets were sent."""
        goal = self.sequence + packets
        async with asyncio.timeout(DEADLINE):
            while self.sequence < goal:
                self.advanced.clear()
                await self.advanced.wait()

    async def keep_talking(self) -> None:
        """Talk in real time until cancelled."""
        while True:
            self.talk()
            await asyncio.sleep(0.02)


@dataclass
class Stand:
    """The processes and what they work on."""

    folder: Path
    door: LedgerDoor
    signing_key: Ed25519PrivateKey
    environment: dict[str, str]
    address: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    channel: grpc.aio.Channel | None = None

    @property
    def media(self) -> rpc.MediaAsyncStub:
        """The recorder's door."""
        assert self.channel is not None
        return rpc.MediaStub(self.channel)

    def start(self, name: str) -> None:
        """Start the mover or the writer."""
        module = "onrecord.media_recorder" + (".mover" if name == "mover" else "")
        with (self.folder / f"{name}.log").open("ab") as output:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", module],
                env=os.environ | self.environment,
                stdout=output,
                stderr=output,
            )

    def kill(self, name: str) -> None:
        """Kill -9, and wait for the end of it."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait(DEADLINE)

    async def ready(self) -> None:
        """Wait until the writer answers and is attached to its mover."""
        async with asyncio.timeout(DEADLINE):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    # A call that nobody knows: an answer means that the door is open.
                    await self.media.Close(pb.CloseRequest(call_id="nobody"), timeout=1)
                    request = pb.OpenRequest(
                        call_id="probe", legs=[pb.Leg(name="caller")], bridge=pb.BRIDGE_NOW
                    )
                    await self.media.Open(request, timeout=1)
                    await self.media.Close(pb.CloseRequest(call_id="probe"), timeout=1)
                    return
                await asyncio.sleep(0.05)

    def permit(self, call: str, number: int = 0, **changes: Any) -> SignedPermit:
        """A permit of this ledger for all four legs."""
        now = utc_now()
        values: dict[str, Any] = {
            "permit_id": f"{call}:p{number}",
            "call": call,
            "legs": dict.fromkeys(("caller", "agent", "service-caller", "service-agent")),
            "parties": ("caller", "agent"),
            "pack": "uk/1",
            "entries": ("e",),
            "audience": NODE,
            "issued_at": now,
            "not_after": now + timedelta(seconds=30),
            "key_id": key_id(self.signing_key.public_key()),
        }
        return sign(Permit(**(values | changes)), self.signing_key)

    async def record(self, signed: SignedPermit, keys: int = 10) -> None:
        """Ask the recorder to open the gate."""
        permit_id = json.loads(signed.payload)["permit_id"]
        request = pb.RecordRequest(
            permit=ledger.Permit(payload=signed.payload, signature=signed.signature),
            unit_keys=self.door.keys(permit_id, range(keys)),
        )
        await self.media.Record(request, timeout=5)

    def stored(self, call: str) -> dict[str, list[Frame]]:
        """Every stored frame per leg, read back from the store by what the ledger lists."""
        frames: dict[str, list[Frame]] = {}
        for fact in self.door.fields("recording.stored"):
            for unit in fact["units"]:
                body = (self.folder / "objects" / unit["object_key"]).read_bytes()
                plain = unseal(body, self.door.key(unit["key_ref"]), unit["object_key"].encode())
                header, found = decode_unit(plain)
                assert (header.call, header.leg) == (call, unit["leg"])
                assert len(found) == unit["frames"]
                frames.setdefault(unit["leg"], []).extend(found)
        return frames

    async def final(self, call: str) -> None:
        """Wait for the call's last fact, and until the spool holds nothing of it any more."""
        await self.door.wait(lambda facts: f"{call}:recording.stored:final" in self.door.facts)
        async with asyncio.timeout(DEADLINE):
            while (self.folder / "spool" / call).exists():
                await asyncio.sleep(0.01)

    def stop(self) -> None:
        """End both processes."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.asynccontextmanager
async def media_stand(folder: Path, **settings: str) -> AsyncIterator[Stand]:
    """Start a mover and a writer with their own ledger's door; stop them at the end."""
    door, server = LedgerDoor(), grpc.aio.server()
    ledger_rpc.add_LedgerServicer_to_server(door, server)
    ledger_port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    signing_key = Ed25519PrivateKey.generate()
    public = signing_key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "permit.pub").write_bytes(public)
    (folder / "journal.key").write_text(secrets.token_hex(32))
    address = f"127.0.0.1:{_free_port()}"
    environment = {
        "ONRECORD_NODE": NODE,
        "ONRECORD_DATA": str(folder / "data"),
        "ONRECORD_GRPC_LISTEN": address,
        "ONRECORD_LEDGER": f"127.0.0.1:{ledger_port}",
        "ONRECORD_OBJECTS": str(folder / "objects"),
        "ONRECORD_SPOOL": str(folder / "spool"),
        "ONRECORD_MOVER": str(folder / "mover.sock"),
        "ONRECORD_PERMIT_PUBLIC_KEY": str(folder / "permit.pub"),
        "ONRECORD_JOURNAL_KEY": str(folder / "journal.key"),
        "ONRECORD_MEDIA_PORTS": "30000-39999",
        "ONRECORD_RING_MEGABYTES": "8",
        **settings,
    }
    stand = Stand(folder, door, signing_key, environment, address)
    options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stand.channel = channel
        try:
            stand.start("mover")
            stand.start("writer")
            await stand.ready()
            yield stand
        finally:
            stand.stop()
            await server.stop(0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def position(report: pb.PlayReport) -> Position | None:
    """The first position that may be kept after a notice, as the ledger puts it into the permit."""
    if not report.HasField("received"):
        return None
    received = report.received
    return Position(received.ssrc, received.sequence + 1, received.timestamp)
