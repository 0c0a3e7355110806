"""kill -9 of the real signalling process in mid-call, with sipp on both sides."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from integration.signalling_stand import HANG, ProcessStand, agent, caller
from integration.sipp_scenarios import (
    LATE_BYE,
    OK,
    RINGING,
    WAITS_FOR_BYE,
    hangs_up_after,
    scenario,
)
from processes import until

RECORDED, UNRECORDED, EMERGENCY = "1000", "9000", "112"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[ProcessStand]:
    """The service as a process, its doors all there."""
    async with ProcessStand(tmp_path, doors_up=True) as running:
        yield running


async def replace(stand: ProcessStand) -> None:
    """Kill -9, and start again on the same data."""
    await stand.kill()
    await stand.start()


@pytest.mark.parametrize(("step", "gate"), [("Record", "opened"), ("Announce", "call_ended")])
async def test_a_killed_process_leaves_no_party_behind(
    stand: ProcessStand, step: str, gate: str
) -> None:
    """Both sides get a BYE, the recorder Close, the ledger one call.ended with its cause."""
    if step == "Announce":
        stand.doors.notice_may_end.clear()
    async with agent(stand) as callee:
        phone = await caller(stand, RECORDED, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await stand.doors.until_asked(step)
        await stand.doors.until_fact("call.answered")
        # A later Renew says that the process knows what the door replied.
        await stand.doors.until_asked("Renew", stand.doors.methods().count("Renew") + 2)
        await replace(stand)
        await phone.wait()
        await callee.wait()
    await stand.doors.until_fact("call.ended")
    await stand.doors.until_asked("Close")
    ended = stand.doors.fact("call.ended")
    assert (ended["cause"], ended["gate"], ended["answered"]) == ("signalling_lost", gate, True)
    assert 0 < float(str(ended["talk_seconds"])) < 30
    await replace(stand)
    assert len(stand.doors.appended("call.ended")) == 1
    assert stand.doors.methods().count("Close") == 1


async def test_a_call_that_only_rang_gets_its_end(stand: ProcessStand) -> None:
    """Nobody talked, so nobody is hung up; call.started has its call.ended."""
    rings = f'<recv request="INVITE"/>{RINGING}<pause milliseconds="3000"/>'
    async with agent(stand, "-sf", str(scenario(stand, rings, "a.xml"))):
        phone = await caller(stand, RECORDED, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await stand.doors.until_fact("policy.decided")
        await stand.doors.until_asked("Open")
        await replace(stand)
        await stand.doors.until_fact("call.ended")
        await phone.stop()
    ended = stand.doors.fact("call.ended")
    assert (ended["cause"], ended["gate"], ended["answered"]) == (
        "signalling_lost",
        "not_asked",
        False,
    )
    await stand.doors.until_asked("Close")


async def test_an_agent_who_had_answered_is_hung_up(stand: ProcessStand) -> None:
    """The agent's 200 was ACKed, the caller's was not sent: one BYE, `answered` stays false."""
    stand.doors.faults["Update"] = HANG
    async with agent(stand) as callee:
        phone = await caller(stand, RECORDED, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await until(lambda: "CONNECTING" in stand.log, 10)
        await replace(stand)
        await callee.wait()
        await phone.stop()
    await stand.doors.until_fact("call.ended")
    assert stand.doors.fact("call.ended")["answered"] is False


async def test_a_hang_up_without_answer_outlives_its_process_too(stand: ProcessStand) -> None:
    """Killed again before the agent answered the BYE: the third process sends it, no new fact."""
    async with agent(stand) as callee:
        phone = await caller(stand, RECORDED, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await stand.doors.until_asked("Record")
        await callee.stop()
        await replace(stand)
        await phone.wait()
        await stand.doors.until_fact("call.ended")
        await stand.kill()
    late = scenario(stand, f'<recv request="BYE"/>{OK}', "late.xml")
    async with agent(stand, "-sf", str(late)) as callee:
        await stand.start()
        await callee.wait()
    assert len(stand.doors.appended("call.ended")) == 1


@pytest.mark.parametrize("number", [EMERGENCY, UNRECORDED])
@pytest.mark.parametrize("number_of_kills", [1, 2])
async def test_parties_who_talk_past_us_talk_on(
    stand: ProcessStand, number: str, number_of_kills: int
) -> None:
    """Their dialogs are taken on: the BYE that comes after the restart reaches the other side."""
    async with agent(stand) as callee:
        phone = await caller(stand, number, "-sf", str(scenario(stand, hangs_up_after(3000))))
        await stand.doors.until_fact("call.answered")
        for _ in range(number_of_kills):
            await replace(stand)
        assert not stand.doors.appended("call.ended")
        await phone.wait()
        await callee.wait()
    await stand.doors.until_fact("call.ended")
    ended = stand.doors.fact("call.ended")
    assert (ended["cause"], ended["gate"]) == ("caller_hung_up", "not_asked")
    assert float(str(ended["talk_seconds"])) > 2
    assert len(stand.doors.appended("call.ended")) == 1
    assert not stand.doors.methods("Open", "Close")


async def test_facts_that_were_left_drain_first_and_in_order(stand: ProcessStand) -> None:
    """A ledger that was away before the kill and after it gets each fact once, as written."""
    stand.doors.faults["Append"] = grpc.StatusCode.UNAVAILABLE
    async with agent(stand) as callee:
        phone = await caller(stand, RECORDED, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await stand.doors.until_asked("Announce")
        await replace(stand)
        await phone.wait()
        await callee.wait()
    del stand.doors.faults["Append"]
    await stand.doors.until_fact("call.ended")
    kinds = ("call.started", "policy.decided", "call.answered", "call.ended")
    assert [fact["type"] for fact in stand.doors.facts()] == [*kinds]
    assert [len(stand.doors.appended(kind)) for kind in kinds] == [1, 1, 1, 1]


async def test_a_recorder_that_is_away_is_told_later(stand: ProcessStand) -> None:
    """Close is tried until the recorder answers."""
    async with agent(stand) as callee:
        phone = await caller(stand, RECORDED, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await stand.doors.until_asked("Record")
        stand.doors.faults["Close"] = HANG
        await replace(stand)
        await phone.wait()
        await callee.wait()
    await stand.doors.until_fact("call.ended")
    del stand.doors.faults["Close"]
    await stand.doors.until_asked("Close")


async def test_a_stop_leaves_an_emergency_call_alone(stand: ProcessStand) -> None:
    """SIGTERM hangs up no emergency call; the next process relays its BYE."""
    async with agent(stand) as callee:
        phone = await caller(stand, EMERGENCY, "-sf", str(scenario(stand, hangs_up_after(4000))))
        await stand.doors.until_fact("call.answered")
        await stand.kill(signal.SIGTERM)
        assert not stand.doors.appended("call.ended")
        await stand.start()
        await phone.wait()
        await callee.wait()
    await stand.doors.until_fact("call.ended")
    assert stand.doors.fact("call.ended")["cause"] == "caller_hung_up"


async def test_a_late_request_of_an_unknown_call_is_refused(stand: ProcessStand) -> None:
    """A BYE inside a dialog that no process here ever had: 481."""
    phone = await caller(stand, RECORDED, "-sf", str(scenario(stand, LATE_BYE)))
    await phone.wait()


async def test_no_number_is_on_the_disk_in_clear(stand: ProcessStand) -> None:
    """What is kept of a call is sealed."""
    async with agent(stand) as callee:
        phone = await caller(stand, "1000200300", "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await stand.doors.until_asked("Record")
        await stand.kill()
        left = [path.read_bytes() for path in (stand.folder / "data").iterdir()]
        assert len(left) == 2
        assert not [data for data in left if b"1000200300" in data or b"sip:" in data]
        assert "1000200300" not in stand.log
        await stand.start()
        await phone.wait()
        await callee.wait()
