"""A writer killed at any step is followed by one that loses nothing and writes nothing twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onrecord.ledger.permit import SignedPermit
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.call_log import CallLog
from onrecord.media_recorder.adapters.spool import OpenUnit, UnitName, left_over
from onrecord.media_recorder.domain.gate import State
from onrecord.media_recorder.listing import Actor
from onrecord.media_recorder.ring import Ring
from onrecord.media_recorder.storing import Job
from onrecord.media_recorder.succession import Succession
from onrecord.platform.errors import Refused
from unit.media_recorder.spooled import World as Store
from unit.media_recorder.spooled import running, spool_call
from unit.media_recorder.world import CALL, SIGNER, TRACE, Killed, World


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


class Scenario:
    """What is done in a call, as steps that are done again by the successor of a killed writer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.permits: dict[int, SignedPermit] = {}
        self.edges: list[dict[str, int]] = []

    async def open(self) -> None:
        """Open the call and let both be told."""
        await self.world.open()
        if not self.world.engine.call(CALL).reports:
            self.world.notices()

    async def record(self, number: int = 0) -> None:
        """Have a permit taken, always the same of this number."""
        if number not in self.permits:
            self.edges.append(dict(self.world.sent))
            self.permits[number] = self.world.permit(number)
        with contextlib.suppress(Refused):
            await self.world.record(self.permits[number])

    async def resume(self) -> None:
        """Have the second permit taken."""
        await self.record(1)

    async def hear(self) -> None:
        """Let both talk, half of it read."""
        self.world.hear(3)
        await self.world.recorder.read_out()
        self.world.hear(2)

    async def drain(self) -> None:
        """Have the ring read."""
        await self.world.recorder.read_out()

    async def rotate(self) -> None:
        """End the units being written."""
        self.world.recorder.store_group(self.world.recorder.calls[CALL])

    async def pause(self) -> None:
        """Pause, after which nothing is kept."""
        self.edges.append(dict(self.world.sent))
        await self.world.operations.pause(CALL, Actor("card_data", "agent"))

    async def stop(self) -> None:
        """Stop for good."""
        self.edges.append(dict(self.world.sent))
        await self.world.operations.stop(CALL, Actor("objection", "system"))

    async def close(self) -> None:
        """End the call."""
        await self.world.operations.close(CALL)

    async def go_through(self, steps: str) -> None:
        """Do these steps in order; whoever is killed at one has a successor that does it again."""
        for step in steps.split():
            heard = dict(self.world.sent)
            try:
                await getattr(self, step)()
            except Killed:
                await self.world.restart()
                # What was said is not said again.
                if step != "hear" or self.world.sent == heard:
                    await getattr(self, step)()


async def each_step_killed(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: str,
    check: Callable[[Scenario], None],
) -> None:
    """Go through the steps as often as there are places to die, and check each outcome."""
    kill_at, places = 0, 1
    while kill_at <= places:
        (folder / str(kill_at)).mkdir()
        scenario = Scenario(World(folder / str(kill_at), kill_at))
        with places_to_die(scenario.world, monkeypatch):
            await scenario.go_through(steps)
        places = places if kill_at else scenario.world.steps
        try:
            check(scenario)
        except AssertionError as error:
            raise AssertionError(f"killed at step {kill_at} of {places}") from error
        kill_at += 1
    assert places > 50


WHOLE = "open drain hear record hear drain hear drain rotate hear drain hear close drain"


def assert_exact(scenario: Scenario) -> None:
    """I1 and I2: from the notice's end to the close, every frame once, and no other."""
    world = scenario.world
    stored = world.stored()
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
    await each_step_killed(tmp_path, monkeypatch, WHOLE, assert_exact)


STOPPED = "open record hear drain pause hear resume hear drain stop hear drain close drain"


def assert_cut(scenario: Scenario) -> None:
    """I10 and I2: what is said while paused and after the stop is not kept, the rest is, once."""
    world = scenario.world
    # Asked for again after a kill, with nothing said in between.
    edges = scenario.edges
    _, paused, resumed, stopped = (edge for n, edge in enumerate(edges) if edge not in edges[:n])
    stored = world.stored()
    for leg, report in ((leg, r) for (_, leg), r in world.engine.call(CALL).reports.items()):
        assert report.received is not None
        first = range(report.received.sequence + 1, paused[leg])
        assert sorted(stored[leg]) == [*first, *range(resumed[leg], stopped[leg])]
    named = {f"c1:recording.{what}" for what in ("started:c1:p0", "paused:c1:p0")}
    assert named | {"c1:recording.resumed:c1:p1", "c1:recording.stopped:c1:p1"} <= world.facts


async def test_killed_at_every_step_of_pause_resume_and_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor begins nothing that was stopped, and ends nothing that was not."""
    await each_step_killed(tmp_path, monkeypatch, STOPPED, assert_cut)


async def test_a_call_that_is_being_stored_is_not_ended_again(tmp_path: Path) -> None:
    """`call.ended` and the mover's death come while the units wait: the call's log is as it was."""
    world = World(tmp_path)
    await Scenario(world).go_through(WHOLE)
    log = world.folder / CALL / "log"
    before, jobs = log.read_bytes(), list(world.jobs)
    await world.operations.close(CALL)
    await world.recorder._let_go()
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
    succession = Succession(tmp_path, Ed25519PrivateKey.generate().public_key())
    assert succession._next_key(CALL, f"{CALL}:p0") == 0


async def test_a_key_number_is_used_once_however_often_the_writer_changes(tmp_path: Path) -> None:
    """Numbers of units in the spool and of those that are stored already are both passed over."""
    spool_call(tmp_path)
    succession, world = Succession(tmp_path, SIGNER.public_key()), Store()
    assert succession._next_key(CALL, "c1:p0") == 4
    async with running(tmp_path, world) as storing:
        storing.submit(Job(CALL, tuple(left_over(tmp_path, CALL))))
        await world.fact(f"{CALL}:recording.stored:17:1")
    assert succession._next_key(CALL, "c1:p0") == 4
    assert succession._next_key(CALL, "c1:p1") == 0
    assert succession._first_epoch(CALL) > 17
