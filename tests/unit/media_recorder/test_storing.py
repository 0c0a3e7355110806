"""Storing can be killed at any step and repeated: I3, I4 and I9 hold, and it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onrecord.contracts.events import RecordingFailed, RecordingStored
from onrecord.media_recorder.adapters import call_log
from onrecord.platform.errors import Unavailable
from unit.media_recorder.spooled import (
    CALL,
    Killed,
    World,
    assert_complete,
    recover,
    spool_call,
    store_all,
    submit,
)


async def test_a_call_is_stored_listed_and_unlinked(tmp_path: Path) -> None:
    """Without any fault, two groups and the end become two lists and a last fact."""
    world = World()
    spool_call(tmp_path)
    await store_all(tmp_path, world, submit(tmp_path))
    assert_complete(tmp_path, world)


def places_to_die(world: World, patch: pytest.MonkeyPatch) -> None:
    """Make what storing does to the spool a step before which it can be killed."""

    def hooked(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            world.step()
            return inner(*arguments, **named)

        return call

    for name in ("unlink", "rmdir", "replace"):
        patch.setattr(Path, name, hooked(getattr(Path, name)))
    patch.setattr(call_log, "append", hooked(call_log.append))


async def test_killed_at_every_step_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every step: killed there, started anew, the outcome is the same, nothing is doubled."""
    counting = World()
    (tmp_path / "0").mkdir()
    spool_call(tmp_path / "0")
    with monkeypatch.context() as patch:
        places_to_die(counting, patch)
        await store_all(tmp_path / "0", counting, submit(tmp_path / "0"))
    for step in range(1, counting.steps + 1):
        world, folder = World(), tmp_path / str(step)
        folder.mkdir()
        spool_call(folder)
        world.kill_at = step
        with monkeypatch.context() as patch:
            places_to_die(world, patch)
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
