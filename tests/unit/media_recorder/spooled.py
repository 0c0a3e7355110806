"""A spooled call, and the world it is stored into: objects, committed facts, unit keys."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onrecord.contracts.event import Event
from onrecord.contracts.events import RecordingGap, RecordingStored
from onrecord.contracts.fact import Fact
from onrecord.ledger.keys import key_id
from onrecord.ledger.permit import Permit, Position, sign
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.spool import OpenUnit, SpoolHeader, UnitName, left_over
from onrecord.media_recorder.domain.record import Kind, Record
from onrecord.media_recorder.storing import Job, Storing
from onrecord.platform.objects import ObjectExists
from onrecord.rtp.storage.sealing import unseal
from onrecord.rtp.storage.unit import UnitHeader, decode_unit

CALL = "c1"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(32))
SIGNED = sign(
    Permit(
        "c1:p0",
        CALL,
        {"caller": Position(7, 100, 0), "agent": None},
        ("caller", "agent"),
        "uk/1",
        ("e",),
        "*",
        NOW,
        NOW + timedelta(seconds=30),
        key_id(SIGNER.public_key()),
    ),
    SIGNER,
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code under test catches it."""


class World:
    """What outlives the recorder: objects and committed facts. It can kill at the n-th step."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.facts: dict[str, Event] = {}
        self.steps = 0
        self.kill_at = 0
        self.refused: set[str] = set()
        self._told: dict[str, asyncio.Event] = {}

    def step(self) -> None:
        """Count, and kill when it is time."""
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed

    async def put_new(self, key: str, body: bytes, sha256: str) -> None:
        """Create-only; I9 is checked by never writing twice."""
        self.step()
        if key in self.objects:
            raise ObjectExists("object_exists")
        self.objects[key] = body
        self.step()

    async def sha256(self, key: str) -> str | None:
        """The hash of what is there."""
        self.step()
        return hashlib.sha256(self.objects[key]).hexdigest() if key in self.objects else None

    async def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Not used by storing."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to close."""

    def record(self, event: Event) -> None:
        """Commit a fact, once per id; the second of an id must not say anything else."""
        self.step()
        if event.event_id not in self.refused:
            known = self.facts.setdefault(event.event_id, event)
            assert says_no_more(event.fact, known.fact)
            self._told.setdefault(event.event_id, asyncio.Event()).set()
        self.step()

    async def drained(self, call: str, timeout: float) -> None:
        """Facts are committed at once here."""
        self.step()

    async def fact(self, event_id: str) -> None:
        """Wait until this fact is committed."""
        async with asyncio.timeout(20):
            await self._told.setdefault(event_id, asyncio.Event()).wait()

    def was_refused(self, event_id: str) -> bool:
        """What a test names is refused for good."""
        return event_id in self.refused

    async def fetch(self, signed: Any, first: int, count: int = 1) -> dict[int, bytes]:
        """Unit keys by number."""
        self.step()
        return {number: key(number) for number in range(first, first + count)}

    def __len__(self) -> int:
        return 0


def says_no_more(second: Fact, first: Fact) -> bool:
    """Whether a fact that is told again is the same; of listed units only some may be left."""
    if isinstance(second, RecordingStored) and isinstance(first, RecordingStored):
        return set(second.units) <= set(first.units) and second.final == first.final
    return second == first


def key(number: int) -> bytes:
    """The unit key of this number."""
    return hashlib.sha256(bytes([number])).digest()


def spool_call(folder: Path, call: str = CALL) -> None:
    """Two groups of units of a call as its writer left them: packet 103 never came."""
    number = 0
    for k, numbers in enumerate(([100, 101, 102], [104, 105])):
        for leg in ("agent", "caller"):
            unit = UnitHeader(call, leg, 17, k, "PCMU", 8000, "c1:p0", "x")
            header = SpoolHeader(unit, f"c1:p0/{number}", SIGNED.payload, SIGNED.signature)
            file = OpenUnit(folder, UnitName(call, leg, 17, k), header, key(number))
            for sequence in numbers:
                frame = Record(0, Kind.FRAME, 0, 7, sequence, sequence * 160, 10**18, b"x" * 160)
                file.append([(sequence, frame)])
            file.close()
            number += 1
    line = call_log.permit_line(SIGNED.payload, SIGNED.signature, "x")
    call_log.append(folder / call / "log", [line])


class RunningStoring(Storing):
    """Storing as a fresh process runs it, and word of the calls that it is done with."""

    def __init__(self, folder: Path, world: World) -> None:
        super().__init__(folder, world, world, world)  # type: ignore[arg-type]
        self._done: set[str] = set()
        self._changed = asyncio.Condition()
        self.on_done = self._note

    async def done(self, calls: Sequence[str]) -> None:
        """Wait until these calls are done with."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self._done.issuperset(calls))

    async def _note(self, call: str) -> None:
        async with self._changed:
            self._done.add(call)
            self._changed.notify_all()


@contextlib.asynccontextmanager
async def running(folder: Path, world: World) -> AsyncIterator[RunningStoring]:
    """Run storing meanwhile; what ends it is raised out of its task group."""
    storing = RunningStoring(folder, world)
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(storing.run())
            yield storing
            task.cancel()
    except BaseExceptionGroup as failed:
        while isinstance(failed, BaseExceptionGroup):
            failed = failed.exceptions[0]  # type: ignore[assignment]
        raise failed from None


async def store_all(folder: Path, world: World, prepare: Callable[[Storing], None]) -> None:
    """Run storing until the call is done."""
    async with running(folder, world) as storing:
        prepare(storing)
        await storing.done([CALL])


def submit(folder: Path) -> Callable[[Storing], None]:
    """Groups one by one, then the end, as the recorder does."""

    def prepare(storing: Storing) -> None:
        for k in (0, 1):
            names = [name for name in left_over(folder, CALL) if name.k == k]
            storing.submit(Job(CALL, tuple(names)))
        storing.submit(Job(CALL, (), "call_ended"))

    return prepare


def recover(storing: Storing) -> None:
    """What a restarted recorder does with a spool that was left over."""
    storing.submit(Job(CALL, (), "call_ended"))


def assert_complete(folder: Path, world: World) -> None:
    """Every frame is in an object that the ledger lists, the gap named, the spool empty."""
    facts = [event.fact for event in world.facts.values()]
    units = [unit for fact in facts if isinstance(fact, RecordingStored) for unit in fact.units]
    found = {}
    for unit in units:
        number = int(unit.key_ref.rpartition("/")[2])
        plain = unseal(world.objects[unit.object_key], key(number), unit.object_key.encode())
        found[unit.leg, unit.k] = [frame.sequence for frame in decode_unit(plain)[1]]
    assert found == {
        (leg, k): numbers
        for leg in ("caller", "agent")
        for k, numbers in enumerate(([100, 101, 102], [104, 105]))
    }
    gaps = [fact for fact in facts if isinstance(fact, RecordingGap)]
    assert {(gap.leg, gap.first.sequence, gap.packets, gap.cause) for gap in gaps} == {
        ("caller", 103, 1, "network"),
        ("agent", 103, 1, "network"),
    }
    (final,) = [fact for fact in facts if isinstance(fact, RecordingStored) and fact.final]
    assert final.unit_count == 4
    assert final.manifest_sha256 == hashlib.sha256(world.objects["c1/manifest"]).hexdigest()
    assert not (folder / CALL).exists()
