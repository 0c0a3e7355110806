"""I10: whatever is under way when a call is stopped, nothing that is said after that is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onrecord.media_recorder.domain.gate import State
from onrecord.media_recorder.listing import Actor
from onrecord.platform.errors import Refused, Unavailable
from unit.media_recorder.world import CALL, World, settled, told

OBJECTION = Actor("objection", "system")
PAUSE = Actor("card_data", "agent")


def started(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin a request as the door does; what it is refused for is no matter here."""

    async def request() -> None:
        with contextlib.suppress(Refused, Unavailable):
            await work

    return asyncio.create_task(request())


def tag(world: World) -> dict[str, Any]:
    """What a successor would read."""
    found: dict[str, Any] = json.loads(world.engine.call(CALL).tag)
    return found


async def assert_silent_from(world: World, heard: dict[str, int]) -> None:
    """Nothing from these numbers on is kept: not by this writer, nor by one that follows it."""
    world.slow = False
    world.hear(3)
    await world.recorder.read_out()
    await world.restart()
    world.hear(3)
    await world.recorder.read_out()
    assert tag(world)["gate"] == State.ENDED
    kept = world.stored()
    for leg, first in heard.items():
        assert not [number for number in kept.get(leg, ()) if number >= first], leg


@pytest.mark.parametrize("stop_first", [True, False])
async def test_a_stop_beats_a_permit_that_is_under_way(tmp_path: Path, *, stop_first: bool) -> None:
    """An objection crosses the permit in the mover: the gate stays shut, and for a successor."""
    world = await told(tmp_path)
    signed, world.slow = world.permit(), True
    works = [world.operations.stop(CALL, OBJECTION), world.record(signed)]
    tasks = [started(work) for work in (works if stop_first else reversed(works))]
    await settled()
    heard = dict(world.sent)
    while world.unanswered:
        world.answer()
        await settled()
    await asyncio.gather(*tasks)
    await assert_silent_from(world, heard)
    assert world.stored() == {}


async def test_a_stop_is_done_whole_when_whoever_asked_goes_away(tmp_path: Path) -> None:
    """The door's deadline passes while the mover is slow: the stop and its fact follow anyway."""
    world = await told(tmp_path)
    await world.record(world.permit())
    world.slow, heard = True, dict(world.sent)
    task = started(world.operations.stop(CALL, OBJECTION))
    await settled()
    task.cancel()
    await settled()
    world.answer()
    await settled()
    assert "c1:recording.stopped:c1:p0" in world.facts
    await assert_silent_from(world, heard)


async def test_a_permit_is_taken_whole_when_whoever_asked_goes_away(tmp_path: Path) -> None:
    """The repeated request finds the gate open, and not a permit that was used up by half."""
    world = await told(tmp_path)
    signed, world.slow = world.permit(), True
    task = started(world.record(signed))
    await settled()
    task.cancel()
    await settled()
    world.answer()
    await settled()
    await world.record(signed)
    await world.recorder.read_out()
    assert world.stored()["caller"]


async def test_a_stop_is_not_lost_while_a_pause_waits_for_a_unit_key(tmp_path: Path) -> None:
    """The ledger is down and keys are missing: what was said before the pause waits, no more."""
    world = await told(tmp_path)
    world.without_keys = True
    await world.record(world.permit())
    world.hear(2)
    await world.operations.pause(CALL, PAUSE)
    heard = dict(world.sent)
    await world.operations.stop(CALL, OBJECTION)
    assert tag(world)["gate"] == State.ENDED
    await assert_silent_from(world, heard)
    assert world.stored()["caller"][-1] == heard["caller"] - 1


async def test_what_waits_for_a_key_is_never_written_under_a_later_permit(tmp_path: Path) -> None:
    """A permit that comes before that is told to come again."""
    world = await told(tmp_path)
    world.without_keys = True
    await world.record(world.permit())
    world.hear(2)
    await world.operations.pause(CALL, PAUSE)
    with pytest.raises(Unavailable, match="still_writing"):
        await world.record(world.permit(1))
    await world.recorder.key_supply.refill()
    await world.record(world.permit(1))


async def test_a_mover_that_did_not_answer_a_permit_is_told_again(tmp_path: Path) -> None:
    """The permit is taken back in the mover too, and the same permit may be asked for again."""
    world = await told(tmp_path)
    world.lose_answers = 1
    signed = world.permit()
    with pytest.raises(Unavailable):
        await world.record(signed)
    assert tag(world)["gate"] == State.WAITING
    await world.record(signed)
    assert tag(world)["gate"] == State.OPEN


async def test_the_keys_that_came_first_stay(tmp_path: Path) -> None:
    """Units may have been written with them; a repeated permit may bring further numbers."""
    world = await told(tmp_path)
    signed = world.permit()
    await world.record(signed)
    opened = world.recorder.calls[CALL].open_permit
    assert opened is not None
    first = dict(opened.keys)
    await world.operations.record(signed, {0: bytes(32), 99: bytes(32)})
    assert opened.keys == first | {99: bytes(32)}


DOINGS = ["record", "record", "pause", "resume", "stop", "close", "update", "answer", "answer"]
HAPPENINGS = ["hear", "drain", "kill"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=st.lists(st.sampled_from(DOINGS + HAPPENINGS), max_size=14), data=st.data())
async def test_i10_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], data: st.DataObject
) -> None:
    """Requests, answers and kills in any order: after a stop was decided nothing more is kept."""
    world = await told(tmp_path_factory.mktemp("any"))
    permits = [world.permit(number) for number in range(2)]
    doings = {
        "record": lambda: world.record(permits[0]),
        "resume": lambda: world.record(permits[1]),
        "pause": lambda: world.operations.pause(CALL, PAUSE),
        "stop": lambda: world.operations.stop(CALL, OBJECTION),
        "close": lambda: world.operations.close(CALL),
        "update": lambda: world.operations.update(CALL, [], None),
    }
    tasks: list[asyncio.Task[None]] = []
    heard: dict[str, int] | None = None
    world.slow = True
    for step in steps:
        match step:
            case "hear":
                world.hear(1)
            case "drain":
                world.recorder.drain()
            case "answer" if world.unanswered:
                world.answer()
            case "kill":
                await world.kill(tasks)
                world.slow = True
            case _ if step in doings and CALL in world.recorder.calls:
                tasks.append(started(doings[step]()))
        await settled()
        if heard is None and step in {"stop", "close"} and CALL in world.recorder.calls:
            heard = dict(world.sent)
    if heard is None:
        heard = dict(world.sent)
        tasks.append(started(world.operations.stop(CALL, OBJECTION)))
        await settled()
    while world.unanswered:
        world.answer()
        await settled()
    await asyncio.gather(*tasks)
    await assert_silent_from(world, heard)
