"""A writer killed at any step is followed by one that loses nothing and writes nothing twice."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onrecord.contracts.event import Event
from onrecord.ledger.keys import key_id
from onrecord.ledger.permit import Permit, Position, SignedPermit, sign
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.call_log import CallLog
from onrecord.media_recorder.adapters.spool import OpenUnit, UnitName, left_over, read_open
from onrecord.media_recorder.domain.gate import State
from onrecord.media_recorder.mover.control import Control
from onrecord.media_recorder.mover.engine import Bridge, Engine, Prompt
from onrecord.media_recorder.operations import Leg, Operations
from onrecord.media_recorder.recorder import Recorder
from onrecord.media_recorder.recording import LegCodec
from onrecord.media_recorder.ring import Ring
from onrecord.media_recorder.storing import Job
from onrecord.media_recorder.succession import Succession
from onrecord.platform.clock import utc_now
from onrecord.platform.errors import Refused
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
    """The mover and the disk, which outlive the writer, and the writer of the moment."""

    def __init__(self, folder: Path, kill_at: int) -> None:
        self.folder, self.kill_at, self.steps = folder, kill_at, 0
        self.ring = Ring.create(1 << 20)
        self.engine = Engine(self.ring, lambda bits: 2**bits - 9)
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
        self.succession = Succession(self.folder, public, 60.0, 60.0)
        facts = SimpleNamespace(record=self.record)
        storing = SimpleNamespace(submit=self.submit)
        keys = SimpleNamespace(fetch=self.fetch)
        self.recorder = Recorder(self.succession, self.folder, storing, facts, keys)  # type: ignore[arg-type]
        self.recorder.mover = self  # type: ignore[assignment]
        self.operations = Operations(self.recorder, self.succession, public, "media-1")

    async def restart(self) -> None:
        """Let another writer take over, as it does after SIGKILL."""
        self.writer()
        await self.recorder._take_over(self)  # type: ignore[arg-type]
        await self.recorder.key_supply.refill()
        self.recorder.drain()

    async def command(self, do: str, **arguments: Any) -> dict[str, Any]:
        """What `MoverClient.command` does, with a place to be killed before and after."""
        self.step()
        request = {"do": do, "n": 1, **arguments}
        answer = self.control.handle(request, self.now, int(self.now * 1e9))
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

    def permit(self) -> SignedPermit:
        """The permit on the strength of both play reports."""
        legs: dict[str, Position | None] = {"service-caller": None, "service-agent": None}
        for (_, leg), report in self.engine.call(CALL).reports.items():
            assert report.received is not None
            place = report.received
            legs[leg] = Position(place.ssrc, place.sequence + 1, place.timestamp)
        now = utc_now()
        names, later = ("caller", "agent"), now + timedelta(seconds=30)
        who = key_id(SIGNER.public_key())
        permit = Permit("c1:p0", CALL, legs, names, "uk/1", ("e",), "media-1", now, later, who)
        return sign(permit, SIGNER)

    def record(self, event: Event) -> None:
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


@contextlib.contextmanager
def places_to_die(world: World, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every write of the writer a step before and after which it can be killed."""

    def hooked(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            world.step()
            result = inner(*arguments)
            world.step()
            return result

        return call

    with patch.context() as patched:
        patched.setattr(OpenUnit, "__init__", hooked(OpenUnit.__init__))
        patched.setattr(OpenUnit, "append", hooked(OpenUnit.append))
        patched.setattr(Ring, "decide", hooked(Ring.decide))
        patched.setattr(call_log, "append", hooked(call_log.append))
        yield


async def scenario(world: World) -> None:
    """A call with a notice, a permit, two units and its end; restarted wherever it is killed."""
    signed: list[SignedPermit] = []

    async def record() -> None:
        if not signed:
            signed.append(world.permit())
        keys = await world.fetch(signed[0], 0)
        with contextlib.suppress(Refused):
            await world.operations.record(signed[0], keys)

    async def open_call() -> None:
        legs = [Leg(leg, address, CODEC) for leg, address in ADDRESSES.items()]
        with continued(TRACE, CALL):
            await world.operations.open(CALL, legs, Bridge.AFTER_NOTICES, list(ADDRESSES))

    async def drain() -> None:
        world.recorder.drain()

    async def rotate() -> None:
        world.recorder.store_group(world.recorder.calls[CALL])

    async def close() -> None:
        await world.operations.close(CALL)

    for action in [
        open_call,
        world.notices,
        drain,
        lambda: world.hear(3),
        record,
        lambda: world.hear(3),
        drain,
        lambda: world.hear(2),
        drain,
        rotate,
        lambda: world.hear(3),
        drain,
        lambda: world.hear(2),
        close,
    ]:
        try:
            pending = action()
            if pending is not None:
                await pending
        except Killed:
            await world.restart()
            await action()  # type: ignore[misc]


def assert_exact(world: World, stored: dict[str, list[int]]) -> None:
    """I1 and I2: from the notice's end to the close, every frame once, and no other."""
    for leg, report in ((leg, r) for (_, leg), r in world.engine.call(CALL).reports.items()):
        assert report.received is not None
        expected = list(range(report.received.sequence + 1, world.sent[leg]))
        assert sorted(stored[leg]) == expected
        assert len(stored[f"service-{leg}"]) == report.packets == 4
    assert world.recorder.calls[CALL].gate.state is State.ENDED
    assert "c1:recording.started:c1:p0" in world.facts
    assert "c1:recording.stopped:c1:p0" in world.facts
    assert any(job.ended == "call_ended" for job in world.jobs)
    written = CallLog.read(world.folder / CALL / "log")
    assert written.permits
    # Whoever wrote them, the facts are in the trace of the request that opened the call.
    assert world.traces == {written.traceparent} == {TRACE}


async def test_killed_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every write and command of a call: killed there, the successor makes it exact."""
    (tmp_path / "0").mkdir()
    counting = World(tmp_path / "0", 0)
    with places_to_die(counting, monkeypatch):
        await scenario(counting)
    assert_exact(counting, counting.stored())
    assert counting.steps > 50
    for kill_at in range(1, counting.steps + 1):
        folder = tmp_path / str(kill_at)
        folder.mkdir()
        world = World(folder, kill_at)
        with places_to_die(world, monkeypatch):
            await scenario(world)
        try:
            assert_exact(world, world.stored())
        except AssertionError as error:
            raise AssertionError(f"killed at step {kill_at}") from error


async def test_a_call_that_is_being_stored_is_not_ended_again(tmp_path: Path) -> None:
    """`call.ended` and the mover's death come while the units wait: the call's log is as it was."""
    world = World(tmp_path, 0)
    await scenario(world)
    log = world.folder / CALL / "log"
    before, jobs = log.read_bytes(), list(world.jobs)
    await world.operations.close(CALL)
    world.recorder._let_go()
    assert log.read_bytes() == before
    assert world.jobs == jobs


@pytest.mark.parametrize("content", [b"", b"ORS", b"\xff" * 40])
def test_a_file_cut_within_its_header_does_not_keep_the_recorder_down(
    tmp_path: Path, content: bytes
) -> None:
    """Killed between creating a unit and its header, the successor still finds its next key."""
    path = UnitName(CALL, "caller", 1, 0).path(tmp_path, "open")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    succession = Succession(tmp_path, Ed25519PrivateKey.generate().public_key(), 60.0, 60.0)
    assert succession._next_key(CALL, f"{CALL}:p0") == 0
