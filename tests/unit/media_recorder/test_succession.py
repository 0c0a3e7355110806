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
from onrecord.media_recorder.adapters.spool import OpenUnit, UnitName
from onrecord.media_recorder.domain.gate import State
from onrecord.media_recorder.ring import Ring
from onrecord.media_recorder.succession import Succession
from onrecord.platform.errors import Refused
from unit.media_recorder.world import CALL, TRACE, Killed, World


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
        with contextlib.suppress(Refused):
            await world.record(signed[0])

    async def drain() -> None:
        await world.recorder.read_out()

    async def rotate() -> None:
        world.recorder.store_group(world.recorder.calls[CALL])

    async def close() -> None:
        await world.operations.close(CALL)

    for action in [
        world.open,
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
    world = World(tmp_path)
    await scenario(world)
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
