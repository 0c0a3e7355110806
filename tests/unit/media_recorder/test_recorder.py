"""One call at the recorder: opened once, given up whole, and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import io
import shutil
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from onrecord.contracts.events import CallEnded, ObjectionMade
from onrecord.media_recorder.adapters.call_log import CallLog
from onrecord.media_recorder.domain.gate import State
from onrecord.media_recorder.domain.record import Kind, Record, lost_record
from onrecord.media_recorder.leases import Leases
from onrecord.media_recorder.operations import Leg
from onrecord.media_recorder.recorder import BATCH
from onrecord.media_recorder.subscriptions import subscriptions
from onrecord.platform.errors import InvalidInput, Refused, Unavailable
from unit.media_recorder.world import ADDRESSES, CALL, CODEC, World, settled, told


def frame(world: World, sequence: int = 1) -> Record:
    """A record of the caller's flow."""
    flow = world.engine.flow(CALL, "caller").number
    return Record(flow, Kind.FRAME, 0, 7, sequence, 0, 0, b"a" * 160)


async def test_two_opens_at_once_are_one_call(tmp_path: Path) -> None:
    """The later answer does not replace what the earlier one began."""
    world = World(tmp_path)
    world.slow = True
    opens = [asyncio.create_task(world.open()) for _ in range(2)]
    await settled()
    world.answer()
    await settled()
    first = world.recorder.calls[CALL]
    world.answer()
    await asyncio.gather(*opens)
    assert world.recorder.calls[CALL] is first


async def test_a_closed_call_is_not_opened_again_while_it_is_being_stored(tmp_path: Path) -> None:
    """Storing removes the call's folder: whoever recorded into it meanwhile would lose that."""
    world = await told(tmp_path)
    await world.record(world.permit())
    await world.operations.close(CALL)
    with pytest.raises(Refused, match="call_closed"):
        await world.open()
    await world.recorder._forget(CALL)
    with pytest.raises(Refused, match="call_closed"):
        await world.open()


async def test_what_the_lost_mover_had_is_not_ended_in_the_next_one(tmp_path: Path) -> None:
    """Attached again, a call that was given up is not taken over twice, and its relay goes on."""
    world = await told(tmp_path)
    await world.record(world.permit())
    await world.recorder._let_go()
    given_up = world.recorder.calls[CALL]
    await world.recorder._take_over(world)  # type: ignore[arg-type]
    assert world.recorder.calls[CALL] is given_up
    await world.recorder._forget(CALL)
    assert not world.engine.call(CALL).closed
    kept = {leg: list(numbers) for leg, numbers in world.stored().items()}
    await world.restart()
    world.hear(3)
    await world.recorder.read_out()
    assert world.stored() == kept


async def test_no_unit_stays_open_when_the_mover_is_lost_while_keys_are_missing(
    tmp_path: Path,
) -> None:
    """Once the keys are there, what waited is written and every file given back."""
    world = await told(tmp_path)
    signed = world.permit()
    keys = await world.fetch(signed, 0)
    await world.operations.record(signed, {number: keys[number] for number in (0, 1)})
    await world.recorder.read_out()
    assert len(open_files(tmp_path)) == 2
    await world.recorder._let_go()
    await world.recorder.key_supply.refill()
    await world.recorder.read_out()
    assert open_files(tmp_path) == []
    assert [job.ended for job in world.jobs][-1] == "mover_lost"


def open_files(folder: Path) -> list[str]:
    """Name the files below a folder that the test's process has open."""
    targets = [path.resolve() for path in Path("/proc/self/fd").iterdir()]
    return [str(target) for target in targets if target.is_relative_to(folder)]


async def test_word_of_lost_packets_before_any_permit_leaves_no_trace(tmp_path: Path) -> None:
    """A folder in the spool would be stored at the next start as if there were a recording."""
    world = await told(tmp_path)
    world.ring.put(lost_record(frame(world), Kind.LOST, 9, 9))
    await world.recorder.read_out()
    await world.operations.close(CALL)
    assert not (tmp_path / CALL).exists()
    assert [job.ended for job in world.jobs] == ["nothing_kept"]


async def test_what_waited_too_long_is_named_once_there_is_a_permit(tmp_path: Path) -> None:
    """The ring tells of it; the call's log has its cause."""
    world = await told(tmp_path)
    await world.record(world.permit())
    world.ring.put(lost_record(frame(world, world.sent["caller"]), Kind.EXPIRED, 70000, 9))
    await world.recorder.read_out()
    ((leg, _, loss),) = CallLog.read(tmp_path / CALL / "log").losses
    assert (leg, loss.cause, loss.last) == ("caller", "hold_overflow", 70000)


async def test_what_the_ring_had_no_room_for_at_the_end_is_in_the_calls_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mover says it with the cut: its word in the ring would come after it."""
    world = await told(tmp_path)
    await world.record(world.permit())
    await world.recorder.read_out()
    first = world.sent["agent"]
    with monkeypatch.context() as full:
        full.setattr(world.engine._tee._sink, "put", lambda _record: False)
        world.hear(4)
        await world.operations.close(CALL)
    written = CallLog.read(tmp_path / CALL / "log")
    assert sorted((leg, loss.first, loss.last, loss.cause) for leg, _, loss in written.losses) == [
        (leg, first, first + 3, "ring_full") for leg in ("agent", "caller")
    ]
    last = written.received_last("c1:p0", "agent")
    assert last is not None
    assert last.sequence == first + 3


async def test_a_call_whose_log_is_gone_has_failed(tmp_path: Path) -> None:
    """A disk that was emptied under a recording: it ends with a cause, not without a word."""
    world = await told(tmp_path)
    await world.record(world.permit())
    await world.recorder.read_out()
    shutil.rmtree(tmp_path / CALL)
    world.recorder.calls[CALL].units.clear()
    world.recorder._end(world.recorder.calls[CALL], "call_ended")
    assert f"{CALL}:recording.failed" in world.facts


async def test_others_have_their_turn_while_a_full_ring_is_read(tmp_path: Path) -> None:
    """A recorder that comes back to a full ring answers its door meanwhile."""
    world = await told(tmp_path)
    batches = 5
    for sequence in range(batches * BATCH):
        world.ring.put(frame(world, sequence))
    reading = asyncio.create_task(world.recorder.read_out())
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= batches
    assert world.ring.tail == world.ring.head


async def test_the_mover_hears_that_a_recording_failed(tmp_path: Path) -> None:
    """The disk refuses the permit: no successor goes on with what has ended."""
    world = await told(tmp_path)
    (tmp_path / CALL).write_text("in the way")
    with pytest.raises(Unavailable, match="spool_unwritable"):
        await world.record(world.permit())
    await settled()
    (tmp_path / CALL).unlink()
    await world.restart()
    world.hear(2)
    await world.recorder.read_out()
    assert world.recorder.calls[CALL].gate.state is State.ENDED
    assert world.stored() == {}


async def test_a_leg_that_was_not_opened_changes_nothing(tmp_path: Path) -> None:
    """A stop names every leg the recorder knows of: one that the mover lacks would void it."""
    world = World(tmp_path)
    await world.operations.open(CALL, [Leg("caller", ADDRESSES["caller"], CODEC)], "now", [])  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="unknown_leg"):
        await world.operations.update(CALL, [Leg("agent", ADDRESSES["agent"], CODEC)], None)
    assert list(world.recorder.calls[CALL].codecs) == ["caller"]


async def test_facts_end_what_signalling_could_not_end_itself(tmp_path: Path) -> None:
    """An objection stops and an end closes, also a call that another recorder has."""
    world = await told(tmp_path)
    await world.record(world.permit())
    table: dict[str, Any] = {
        kind: row.handler
        for row in subscriptions(world.operations)
        for kind in row.event_types or ()
    }
    for call in (CALL, "elsewhere"):
        await table[ObjectionMade.TYPE](SimpleNamespace(call=call))
    assert world.recorder.calls[CALL].gate.cause == "objection"
    assert not world.engine.call(CALL).closed
    for call in (CALL, "elsewhere"):
        await table[CallEnded.TYPE](SimpleNamespace(call=call))
    assert world.engine.call(CALL).closed


@pytest.mark.parametrize(
    ("unnamed", "silences", "is_closed"),
    [
        (10.0, {"caller": 40.0, "agent": None}, False),
        (50.0, {"caller": 1.0, "agent": 40.0}, False),
        (50.0, {"caller": 40.0, "agent": None}, True),
        (20.0, {"caller": None, "agent": None}, False),
        (31.0, {"caller": None, "agent": None}, True),
    ],
)
async def test_signalling_is_lost_when_nobody_names_the_call_and_nobody_talks(
    tmp_path: Path, unnamed: float, silences: dict[str, float | None], *, is_closed: bool
) -> None:
    """15 s without a lease and 30 s without RTP, by a clock that only goes forward."""
    world = await told(tmp_path)
    leases = Leases(world.recorder, world.operations, lease=15, orphan=30, rtp_timeout=10)
    await leases._look({CALL: silences}, world.recorder.calls[CALL].renewed + unnamed)
    assert world.engine.call(CALL).closed is is_closed


async def test_a_call_that_only_the_mover_has_is_not_kept_for_ever(tmp_path: Path) -> None:
    """Its Open timed out and was not asked again: its ports are given back after the same time."""
    world = World(tmp_path)
    world.lose_answers = 1
    with pytest.raises(Unavailable):
        await world.open()
    leases = Leases(world.recorder, world.operations, lease=15, orphan=30, rtp_timeout=10)
    for now, is_there in ((100.0, True), (129.0, True), (131.0, False)):
        await leases._look({CALL: {"caller": None, "agent": None}}, now)
        assert (CALL in world.engine.calls) is is_there


async def test_who_waits_for_a_prompt_hears_at_once_that_the_call_is_over(tmp_path: Path) -> None:
    """Whatever became of the report: the notice is not waited for once the call is forgotten."""
    world = World(tmp_path)
    await world.open()
    wav = io.BytesIO()
    with wave.open(wav, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16_000))
    digest = hashlib.sha256(wav.getvalue()).digest()
    playing = asyncio.create_task(
        world.operations.play(CALL, "n", "caller", wav.getvalue(), digest)
    )
    await settled()
    await world.operations.close(CALL)
    await world.storing.on_done(CALL)
    await settled()
    assert playing.done()
    with pytest.raises(Refused, match="leg_closed"):
        await playing
