"""Storing can be killed at any step and repeated: I3, I4 and I9 hold, and it ends."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onrecord.contracts.event import Event
from onrecord.contracts.events import RecordingFailed, RecordingGap, RecordingStored
from onrecord.ledger.keys import key_id
from onrecord.ledger.permit import Permit, Position, sign
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.spool import OpenUnit, SpoolHeader, UnitName, left_over
from onrecord.media_recorder.domain.record import Kind, Record
from onrecord.media_recorder.storing import Job, Storing
from onrecord.platform.errors import Unavailable
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
        """Commit a fact, once per id; the second of an id must say the same."""
        self.step()
        known = self.facts.setdefault(event.event_id, event)
        assert known.fact == event.fact
        self.step()

    async def drained(self, call: str, timeout: float) -> None:
        """Facts are committed at once here."""
        self.step()

    async def fetch(self, signed: Any, first: int, count: int = 1) -> dict[int, bytes]:
        """Unit keys by number."""
        self.step()
        return {number: key(number) for number in range(first, first + count)}

    def __len__(self) -> int:
        return 0


def key(number: int) -> bytes:
    """The unit key of this number."""
    return hashlib.sha256(bytes([number])).digest()


def spool_call(folder: Path) -> None:
    """Two groups of units of a call as its writer left them: packet 103 never came."""
    number = 0
    for k, numbers in enumerate(([100, 101, 102], [104, 105])):
        for leg in ("agent", "caller"):
            unit = UnitHeader(CALL, leg, 17, k, "PCMU", 8000, "c1:p0", "x")
            header = SpoolHeader(unit, f"c1:p0/{number}", SIGNED.payload, SIGNED.signature)
            file = OpenUnit(folder, UnitName(CALL, leg, 17, k), header, key(number))
            for sequence in numbers:
                frame = Record(0, Kind.FRAME, 0, 7, sequence, sequence * 160, 10**18, b"x" * 160)
                file.append([(sequence, frame)])
            file.close()
            number += 1
    line = call_log.permit_line(SIGNED.payload, SIGNED.signature, "x")
    call_log.append(folder / CALL / "log", [line])


async def store_all(folder: Path, world: World, prepare: Callable[[Storing], None]) -> None:
    """Run storing as a fresh process would until the call is done."""
    storing = Storing(folder, world, world, world)  # type: ignore[arg-type]
    done = asyncio.Event()

    async def on_done(_call: str) -> None:
        done.set()

    storing.on_done = on_done
    prepare(storing)
    task = asyncio.create_task(storing.run())
    finished = asyncio.create_task(done.wait())
    try:
        await asyncio.wait({task, finished}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if task.done():
            task.result()
        assert done.is_set()
    finally:
        task.cancel()
        finished.cancel()
        await asyncio.gather(task, finished, return_exceptions=True)


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


async def test_a_call_is_stored_listed_and_unlinked(tmp_path: Path) -> None:
    """Without any fault, two groups and the end become two lists and a last fact."""
    world = World()
    spool_call(tmp_path)
    await store_all(tmp_path, world, submit(tmp_path))
    assert_complete(tmp_path, world)


async def test_killed_at_every_step_and_started_again(tmp_path: Path) -> None:
    """For every step: killed there, started anew, the outcome is the same, nothing is doubled."""
    counting = World()
    (tmp_path / "0").mkdir()
    spool_call(tmp_path / "0")
    await store_all(tmp_path / "0", counting, submit(tmp_path / "0"))
    for step in range(1, counting.steps + 1):
        world, folder = World(), tmp_path / str(step)
        folder.mkdir()
        spool_call(folder)
        world.kill_at = step
        with pytest.raises(Killed):
            await store_all(folder, world, submit(folder))
        if (folder / CALL).exists():
            await store_all(folder, world, recover)
        assert_complete(folder, world)


async def test_outage_of_the_store_is_waited_out(tmp_path: Path) -> None:
    """A store that fails a few times delays; nothing goes from the spool meanwhile."""
    world = World()
    put, failures = world.put_new, iter(range(3))

    async def fails_first(key: str, body: bytes, sha256: str) -> None:
        if next(failures, None) is not None:
            assert (tmp_path / CALL / "agent" / "17-0.sealed").exists()
            raise Unavailable("object_store_unavailable")
        await put(key, body, sha256)

    world.put_new = fails_first  # type: ignore[method-assign]
    spool_call(tmp_path)
    await store_all(tmp_path, world, submit(tmp_path))
    assert_complete(tmp_path, world)


async def test_another_body_under_the_key_is_an_alarm(tmp_path: Path) -> None:
    """An object that is not ours is not overwritten; the spool keeps the audio."""
    world = World()
    world.objects["c1/caller/17-0"] = b"another"
    spool_call(tmp_path)
    await store_all(tmp_path, world, submit(tmp_path))
    assert world.objects["c1/caller/17-0"] == b"another"
    failed = [event.fact for event in world.facts.values()]
    assert RecordingFailed(cause="object_conflict") in failed
    assert (tmp_path / CALL / "caller" / "17-0.sealed").exists()
    assert not any(isinstance(fact, RecordingStored) and fact.final for fact in failed)
