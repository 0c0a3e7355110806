"""What cannot be stored is named, stays in the spool, and keeps nothing else from being stored."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from onrecord.contracts.events import RecordingFailed, RecordingStored
from onrecord.media_recorder import storing as storing_module
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.spool import UnitName, calls_in
from onrecord.media_recorder.storing import Job
from onrecord.platform.errors import Refused, Unavailable
from unit.media_recorder.spooled import (
    CALL,
    World,
    assert_complete,
    recover,
    running,
    spool_call,
    store_all,
    submit,
)


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried at once."""
    monkeypatch.setattr(storing_module, "FIRST_DELAY", 0.0)
    monkeypatch.setattr(storing_module, "MAX_DELAY", 0.001)


def causes(world: World, call: str = CALL) -> list[str]:
    """Why recording failed, as the ledger was told."""
    facts = [event.fact for event in world.facts.values() if event.call == call]
    return [fact.cause for fact in facts if isinstance(fact, RecordingFailed)]


def listed(world: World) -> set[str]:
    """The objects that the ledger lists."""
    facts = [event.fact for event in world.facts.values()]
    return {
        unit.object_key
        for fact in facts
        if isinstance(fact, RecordingStored)
        for unit in fact.units
    }


def is_final(world: World, call: str = CALL) -> bool:
    """Whether the ledger was told that all of a call is stored."""
    return f"{call}:recording.stored:final" in world.facts


@pytest.mark.parametrize("entry", ["17:0", "final", "agent:17:0"])
async def test_what_the_ledger_does_not_list_stays_in_the_spool(tmp_path: Path, entry: str) -> None:
    """I3: an entry is refused; nothing it was to list goes, it is said, and a restart lists it."""
    world = World()
    kind = "gap" if entry.startswith("agent") else "stored"
    world.refused = {f"{CALL}:recording.{kind}:{entry}"}
    spool_call(tmp_path)
    await store_all(tmp_path, world, submit(tmp_path))
    assert causes(world) == ["not_listed"]
    assert not is_final(world)
    assert listed(world) >= {f"{CALL}/{leg}/17-1" for leg in ("agent", "caller")}
    assert (entry == "17:0") == (tmp_path / CALL / "caller" / "17-0.sealed").exists()
    assert (tmp_path / CALL / "log").exists()
    world.refused.clear()
    await store_all(tmp_path, world, recover)
    assert_complete(tmp_path, world)


async def test_calls_whose_keys_are_refused_keep_no_other_from_being_stored(
    tmp_path: Path,
) -> None:
    """Many definite refusals, each named and its audio kept, and the last call is stored."""
    world = World()
    calls = [f"bad{n}" for n in range(2 * storing_module.AT_ONCE)]
    give = world.fetch

    async def refuse(signed: Any, first: int, count: int = 1) -> dict[int, bytes]:
        raise Refused("keys_refused", "the test")

    for call in [*calls, CALL]:
        spool_call(tmp_path, call)
    world.fetch = refuse  # type: ignore[method-assign]
    async with running(tmp_path, world) as storing:
        for call in calls:
            storing.submit(Job(call, (), "call_ended"))
        await storing.done(calls)
        assert storing.kept == set(calls)
        world.fetch = give  # type: ignore[method-assign]
        recover(storing)
        await storing.done([CALL])
    assert_complete(tmp_path, world)
    for call in calls:
        assert causes(world, call) == ["keys_refused"]
        assert (tmp_path / call / "caller" / "17-0.open").exists()


async def test_calls_that_wait_keep_no_other_from_being_stored(tmp_path: Path) -> None:
    """The store takes nothing of many calls for long: another one is stored meanwhile."""
    world = World()
    calls = [f"slow{n}" for n in range(2 * storing_module.AT_ONCE)]
    put, up = world.put_new, asyncio.Event()

    async def put_new(key: str, body: bytes, sha256: str) -> None:
        if key.startswith("slow") and not up.is_set():
            raise Unavailable("object_store_unavailable", "the test")
        await put(key, body, sha256)

    world.put_new = put_new  # type: ignore[method-assign]
    for call in [*calls, CALL]:
        spool_call(tmp_path, call)
    async with running(tmp_path, world) as storing:
        for call in [*calls, CALL]:
            storing.submit(Job(call, (), "call_ended"))
        await storing.done([CALL])
        up.set()
        await storing.done(calls)
    assert all(is_final(world, call) and not causes(world, call) for call in calls)


async def test_an_outage_after_a_call_is_named_once_and_waited_out(tmp_path: Path) -> None:
    """The verdict does not wait for ever, and the audio is stored all the same in the end."""
    world = World()
    put, up = world.put_new, asyncio.Event()

    async def put_new(key: str, body: bytes, sha256: str) -> None:
        if not up.is_set():
            raise Unavailable("object_store_unavailable", "the test")
        await put(key, body, sha256)

    world.put_new = put_new  # type: ignore[method-assign]
    spool_call(tmp_path)
    async with running(tmp_path, world) as storing:
        storing.patience = 0.0
        recover(storing)
        await world.fact(f"{CALL}:recording.failed:object_store_unavailable")
        assert not listed(world)
        up.set()
        await storing.done([CALL])
        assert not storing.kept
    assert causes(world) == ["object_store_unavailable"]
    assert_complete(tmp_path, world)


async def test_a_damaged_unit_leaves_the_others_stored(tmp_path: Path) -> None:
    """One file is not what was written: the three others are stored and listed, it is kept."""
    world = World()
    spool_call(tmp_path)
    path = UnitName(CALL, "agent", 17, 0).path(tmp_path, "open")
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    await store_all(tmp_path, world, submit(tmp_path))
    assert listed(world) == {
        f"{CALL}/{unit}" for unit in ("agent/17-1", "caller/17-0", "caller/17-1")
    }
    assert causes(world) == ["spool_damaged"]
    assert not is_final(world)
    assert path.read_bytes() == data


@pytest.mark.parametrize("kept", [0, 3, 8, 100])
async def test_a_file_cut_within_its_header_holds_nothing(tmp_path: Path, kept: int) -> None:
    """A writer killed as it began a unit has lost no frame, and its call is stored whole."""
    world = World()
    spool_call(tmp_path)
    whole = UnitName(CALL, "agent", 17, 0).path(tmp_path, "open").read_bytes()
    cut = UnitName(CALL, "agent", 18, 0).path(tmp_path, "open")
    cut.write_bytes(whole[:kept])
    await store_all(tmp_path, world, recover)
    assert not causes(world)
    assert_complete(tmp_path, world)


@pytest.mark.parametrize("place", ["write_whole", "remove_call"])
async def test_a_disk_that_fails_for_a_while_is_waited_out(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest cannot be written, or the folder not be removed: storing goes on later."""
    world, failures = World(), iter(range(3))
    does = getattr(storing_module, place)

    def fails_first(*arguments: Any) -> None:
        if next(failures, None) is not None:
            raise OSError("input/output error")
        does(*arguments)

    monkeypatch.setattr(storing_module, place, fails_first)
    spool_call(tmp_path)
    await store_all(tmp_path, world, submit(tmp_path))
    assert not causes(world)
    assert_complete(tmp_path, world)


async def test_a_fault_of_ours_in_one_call_is_named_there(tmp_path: Path) -> None:
    """Whatever breaks off the storing of a call, it has a cause, and other calls go on."""
    world = World()

    async def fetch(signed: Any, first: int, count: int = 1) -> dict[int, bytes]:
        return {}

    spool_call(tmp_path, "broken")
    world.fetch = fetch  # type: ignore[method-assign]
    async with running(tmp_path, world) as storing:
        storing.submit(Job("broken", (), "call_ended"))
        await storing.done(["broken"])
    assert causes(world, "broken") == ["storing_failed"]
    assert not world.objects


async def test_a_call_that_was_never_allowed_leaves_nothing(tmp_path: Path) -> None:
    """A folder with a log and no permit, such as of a call whose packets were lost, is removed."""
    world = World()
    call_log.append(tmp_path / CALL / "log", [call_log.trace_line("")])
    await store_all(tmp_path, world, recover)
    assert not world.facts
    assert not calls_in(tmp_path)
