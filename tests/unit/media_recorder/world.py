"""A mover and a disk that outlive the writer, and a writer that can be killed at any step."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onrecord.contracts.event import Event
from onrecord.ledger.keys import key_id
from onrecord.ledger.permit import Permit, Position, SignedPermit, sign
from onrecord.media_recorder.adapters.spool import UnitName, left_over, read_open
from onrecord.media_recorder.mover.call import Bridge, Prompt
from onrecord.media_recorder.mover.control import Control
from onrecord.media_recorder.mover.engine import Engine
from onrecord.media_recorder.mover.holding import Limits
from onrecord.media_recorder.operations import Leg, Operations
from onrecord.media_recorder.recorder import Recorder
from onrecord.media_recorder.recording import LegCodec
from onrecord.media_recorder.ring import Ring
from onrecord.media_recorder.storing import Job
from onrecord.media_recorder.succession import Succession
from onrecord.platform.clock import utc_now
from onrecord.platform.errors import Refused, Unavailable
from onrecord.platform.telemetry import continued
from onrecord.rtp.packet import Packet, build

CALL = "c1"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(32))
CODEC = LegCodec("PCMU", 0, 8000, None)
ADDRESSES = {"caller": ("192.0.2.1", 4000), "agent": ("192.0.2.2", 5000)}
FIRST = 65530
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code under test catches it."""


class World:
    """The mover and the disk, which outlive the writer, and the writer of the moment.

    While `slow`, the mover's answers wait for `answer`; it takes commands in order all the same.
    """

    def __init__(self, folder: Path, kill_at: int = 0) -> None:
        self.folder, self.kill_at, self.steps = folder, kill_at, 0
        self.slow = False
        self.unanswered: deque[asyncio.Future[None]] = deque()
        self.without_keys = False
        self.lose_answers = 0
        self.ring = Ring.create(1 << 20)
        self.engine = Engine(self.ring, lambda bits: 2**bits - 9, Limits(60.0, 60.0))
        ports = SimpleNamespace(bind=lambda flow: 20000 + flow, release=lambda _flow: None)
        self.control = Control(self.engine, self.ring, ports, {"host": "192.0.2.9"})
        self.about = {"host": "192.0.2.9"}
        self.facts: set[str] = set()
        self.traces: set[str] = set()
        self.jobs: list[Job] = []
        self.kept: dict[str, list[int]] = {}
        self.sent = dict.fromkeys(ADDRESSES, FIRST)
        self.now = utc_now().timestamp()
        self.writer()

    def step(self) -> None:
        """Count a step of the writer, and kill it when it is time."""
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed

    def writer(self) -> None:
        """Start a writer on what is there."""
        public = SIGNER.public_key()
        self.succession = Succession(self.folder, public)
        facts = SimpleNamespace(record=self.note)
        self.storing = SimpleNamespace(submit=self.submit)
        keys = SimpleNamespace(fetch=self.fetch)
        self.recorder = Recorder(self.succession, self.folder, self.storing, facts, keys)  # type: ignore[arg-type]
        self.recorder.mover = self  # type: ignore[assignment]
        self.operations = Operations(self.recorder, self.succession, public, "media-1")

    async def restart(self) -> None:
        """Let another writer take over, as it does after SIGKILL."""
        self.writer()
        await self.recorder._take_over(self)  # type: ignore[arg-type]
        await self.recorder.key_supply.refill()
        await self.recorder.read_out()

    async def kill(self, requests: list[asyncio.Task[None]]) -> None:
        """End the writer with all that it was asked; another takes over."""
        under_way = [*requests, *self.operations._working]
        requests.clear()
        self.unanswered.clear()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        self.slow = False
        await self.restart()

    async def open(self) -> None:
        """Open the call, whose parties are both to be told first."""
        legs = [Leg(leg, address, CODEC) for leg, address in ADDRESSES.items()]
        with continued(TRACE, CALL):
            await self.operations.open(CALL, legs, Bridge.AFTER_NOTICES, list(ADDRESSES))

    async def record(self, signed: SignedPermit) -> None:
        """Ask for the gate to be opened, with the keys that come with a permit."""
        keys = {} if self.without_keys else await self.fetch(signed, 0)
        await self.operations.record(signed, keys)

    def answer(self) -> None:
        """Let the mover's oldest answer arrive."""
        self.unanswered.popleft().set_result(None)

    async def command(self, do: str, **arguments: Any) -> dict[str, Any]:
        """What `MoverClient.command` does, with a place to be killed before and after."""
        self.step()
        request = {"do": do, "n": 1, **arguments}
        answer = self.control.handle(request, self.now, int(self.now * 1e9))
        if self.slow:
            waiting = asyncio.get_running_loop().create_future()
            self.unanswered.append(waiting)
            await waiting
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("mover_missing")
        self.step()
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["ok"]  # type: ignore[no-any-return]

    async def fetch(self, _signed: SignedPermit, first: int, count: int = 240) -> dict[int, bytes]:
        """Unit keys by number."""
        return {n: hashlib.sha256(bytes([n])).digest() for n in range(first, first + 8)}

    def hear(self, packets: int) -> None:
        """Let both parties talk."""
        for _ in range(packets):
            for leg, address in ADDRESSES.items():
                number = self.sent[leg]
                packet = Packet(0, number % 65536, number * 160, 7, number.to_bytes(4, "big"))
                flow = self.engine.flow(CALL, leg).number
                self.engine.receive(flow, build(packet), address, self.now, int(self.now * 1e9))
                self.sent[leg] += 1
            self.now += 0.02

    def notices(self) -> None:
        """Play both notices while both talk."""
        for leg in ADDRESSES:
            prompt = Prompt("n", leg, 0, (b"p" * 160,) * 4, 160, is_notice=True)
            self.engine.play(CALL, prompt, self.now, int(self.now * 1e9))
        for _ in range(5):
            list(self.engine.tick(self.now, int(self.now * 1e9)))
            self.hear(1)

    def permit(self, number: int = 0) -> SignedPermit:
        """A permit on the strength of both play reports."""
        legs: dict[str, Position | None] = {"service-caller": None, "service-agent": None}
        for (_, leg), report in self.engine.call(CALL).reports.items():
            assert report.received is not None
            place = report.received
            legs[leg] = Position(place.ssrc, place.sequence + 1, place.timestamp)
        now = utc_now()
        names, later = ("caller", "agent"), now + timedelta(seconds=30)
        who = key_id(SIGNER.public_key())
        permit = Permit(
            f"c1:p{number}", CALL, legs, names, "uk/1", ("e",), "media-1", now, later, who
        )
        return sign(permit, SIGNER)

    def note(self, event: Event) -> None:
        """Take a fact as the journal does."""
        self.facts.add(event.event_id)
        self.traces.add(event.traceparent)

    def submit(self, job: Job) -> None:
        """Store a group as storing does: afterwards the spool knows nothing of it."""
        self.jobs.append(job)
        for name in job.names:
            self._store(name)

    def stored(self) -> dict[str, list[int]]:
        """Every frame that was stored or stands in the spool, whichever writer wrote it."""
        for name in list(left_over(self.folder, CALL)):
            self._store(name)
        return self.kept

    def _store(self, name: UnitName) -> None:
        path = name.path(self.folder, "open")
        unit = read_open(path)
        number = int(unit.header.key_ref.rpartition("/")[2])
        frames = unit.decrypt(hashlib.sha256(bytes([number])).digest())
        self.kept.setdefault(name.leg, []).extend(frame.sequence for frame in frames)
        path.unlink()


async def told(folder: Path) -> World:
    """A call whose parties were told and talk on."""
    world = World(folder)
    await world.open()
    world.notices()
    world.hear(3)
    return world


async def settled() -> None:
    """Let everything go on that waits for nothing but its turn."""
    for _ in range(8):
        await asyncio.sleep(0)
