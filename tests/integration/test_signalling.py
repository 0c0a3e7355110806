"""Signalling between sipp phones and the doors of the other services: what each call leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from integration.signalling_stand import (
    HANG,
    LOOPBACK,
    RECORDER_AGENT,
    Stand,
    agent,
    caller,
)
from integration.sipp_scenarios import (
    ANSWERS_AND_HANGS_UP,
    ANSWERS_TWICE,
    CANCELS,
    OPTIONS,
    RINGS_UNTIL_CANCELLED,
    WAITS_FOR_BYE,
    refused,
    refuses,
    scenario,
)
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger_pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as media_pb
from onrecord.api.signalling.v1 import signalling_pb2 as pb
from onrecord.api.signalling.v1 import signalling_pb2_grpc as rpc

RECORDED, STRICT, UNRECORDED, EMERGENCY = "1000", "7000", "9000", "9112"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A signalling service whose doors are all there."""
    async with Stand(tmp_path, doors_up=True) as running:
        yield running


async def call(stand: Stand, number: str, calls: int = 1) -> None:
    """Make ordinary calls: answered, 0.3 s long, hung up by the caller."""
    async with agent(stand, calls=calls):
        await (await caller(stand, number, calls=calls)).wait()
    await stand.doors.until_fact("call.ended", calls)


async def test_a_recorded_call_is_told_permitted_and_kept(stand: Stand) -> None:
    """Open, update, announce, all facts in, permit, record; at the end close and call.ended."""
    async with agent(stand):
        phone = await caller(stand, RECORDED, "-sn", "uac", "-d", "1500")
        await stand.doors.until_asked("Record")
        await phone.wait()
    await stand.doors.until_fact("call.ended")
    await stand.doors.until_asked("Close")
    doors = stand.doors
    conduct = doors.methods("Open", "Update", "Announce", "RequestPermit", "Record", "Close")
    assert conduct == ["Open", "Update", "Announce", "RequestPermit", "Record", "Close"]
    assert [fact["type"] for fact in doors.facts()] == [
        "call.started",
        "policy.decided",
        "call.answered",
        "call.ended",
    ]
    started, ended = doors.fact("call.started"), doors.fact("call.ended")
    assert started["kind"] == "recorded"
    assert started["callee_number"] == RECORDED
    assert (ended["gate"], ended["cause"], ended["answered"]) == ("opened", "caller_hung_up", True)
    assert doors.fact("call.answered")["media_node"] == "media-t"


async def test_permit_is_asked_after_all_facts_and_names_them(stand: Stand) -> None:
    """RequestPermit names the call's own facts and each notice; all of them came before."""
    await call(stand, RECORDED)
    methods = [method for method, _ in stand.doors.asked]
    (request,) = [r for m, r in stand.doors.asked if m == "RequestPermit"]
    assert isinstance(request, ledger_pb.RequestPermitRequest)
    assert [event_id.partition(":")[2] for event_id in request.event_ids] == [
        "call.started",
        "policy.decided",
        "call.answered",
        "notice.given:caller:0",
        "notice.given:agent:0",
    ]
    assert request.permit_id == f"{request.call_id}:p0"
    assert request.media_node == "media-t"
    before = stand.doors.asked[: methods.index("RequestPermit")]
    appended = {
        event.event_id
        for _, asked in before
        if isinstance(asked, ledger_pb.AppendRequest)
        for event in asked.events
    }
    assert {e for e in request.event_ids if "notice" not in e} <= appended


async def test_recorder_learns_both_ends(stand: Stand) -> None:
    """Open has the caller's address and codec, Update the agent's; the bridge waits for notices."""
    await call(stand, RECORDED)
    (opened,) = [r for m, r in stand.doors.asked if m == "Open"]
    (updated,) = [r for m, r in stand.doors.asked if m == "Update"]
    assert isinstance(opened, media_pb.OpenRequest)
    assert isinstance(updated, media_pb.UpdateRequest)
    assert opened.bridge == media_pb.BRIDGE_AFTER_NOTICES
    assert list(opened.notice_legs) == ["caller", "agent"]
    assert opened.legs[0].remote_host == LOOPBACK
    assert opened.legs[0].audio.name == "PCMU"
    assert [leg.name for leg in updated.legs] == ["caller", "agent"]
    assert updated.legs[1].remote_port > 0


@pytest.mark.parametrize(
    ("method", "fault", "gate"),
    [
        ("Open", grpc.StatusCode.UNAVAILABLE, "media_unavailable"),
        ("Open", HANG, "media_unavailable"),
        ("Announce", grpc.StatusCode.UNAVAILABLE, "announcement_unavailable"),
        ("Announce", HANG, "announcement_unavailable"),
        ("RequestPermit", grpc.StatusCode.UNAVAILABLE, "ledger_unavailable"),
        ("RequestPermit", HANG, "ledger_unavailable"),
        ("RequestPermit", grpc.StatusCode.FAILED_PRECONDITION, "permit_refused"),
        ("Record", grpc.StatusCode.PERMISSION_DENIED, "media_unavailable"),
        ("Record", HANG, "media_unavailable"),
    ],
)
async def test_a_failed_door_leaves_the_call_unrecorded(
    stand: Stand, method: str, fault: grpc.StatusCode | str, gate: str
) -> None:
    """With on_no_permit = continue the call goes on, and call.ended says why nothing was kept."""
    stand.doors.faults[method] = fault
    async with agent(stand):
        await (await caller(stand, RECORDED, "-sn", "uac", "-d", "1800")).wait()
    await stand.doors.until_fact("call.ended")
    ended = stand.doors.fact("call.ended")
    assert (ended["gate"], ended["answered"]) == (gate, True)
    assert "Record" not in stand.doors.methods()


async def test_a_recorder_lost_when_the_agent_answers_is_left_out(stand: Stand) -> None:
    """The agent is re-INVITEd with the caller's own description, then the caller is answered."""
    stand.doors.faults["Update"] = grpc.StatusCode.UNAVAILABLE
    seen = stand.folder / "agent.messages"
    trace = ("-trace_msg", "-message_file", str(seen))
    steps = str(scenario(stand, ANSWERS_TWICE, "a.xml"))
    async with agent(stand, "-sf", steps, *trace) as callee:
        await (await caller(stand, RECORDED, "-sn", "uac", "-d", "300", "-mp", "41000")).wait()
        await callee.wait()
    await stand.doors.until_fact("call.ended")
    ended = stand.doors.fact("call.ended")
    assert (ended["gate"], ended["answered"]) == ("media_unavailable", True)
    offers = [line for line in seen.read_text().splitlines() if line.startswith("m=audio 2000")]
    assert offers
    assert "m=audio 41000" in seen.read_text()
    assert "Announce" not in stand.doors.methods()


@pytest.mark.parametrize(
    ("what", "gate"), [("notice", "notice_failed"), ("permit", "permit_refused")]
)
async def test_a_refusal_leaves_the_call_unrecorded(stand: Stand, what: str, gate: str) -> None:
    """A notice not given, or a permit refused: no gate; the parties are joined at once."""
    stand.doors.refusals[what] = "leg_closed"
    await call(stand, RECORDED)
    assert stand.doors.fact("call.ended")["gate"] == gate
    assert "Record" not in stand.doors.methods()


async def test_a_strict_route_hangs_up_without_a_permit(stand: Stand) -> None:
    """With on_no_permit = refuse both parties get a BYE, and the bridge waited for the permit."""
    stand.doors.refusals["permit"] = "party_not_told"
    async with agent(stand):
        hung_up = await caller(stand, STRICT, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await hung_up.wait()
    await stand.doors.until_fact("call.ended")
    ended = stand.doors.fact("call.ended")
    assert (ended["gate"], ended["cause"]) == ("permit_refused", "recording_refused")
    (opened,) = [r for m, r in stand.doors.asked if m == "Open"]
    assert isinstance(opened, media_pb.OpenRequest)
    assert opened.bridge == media_pb.BRIDGE_ON_PERMIT


async def test_a_strict_route_refuses_without_a_recorder(stand: Stand) -> None:
    """With on_no_permit = refuse and no recorder the caller gets 503, the agent no call."""
    stand.doors.faults["Open"] = grpc.StatusCode.UNAVAILABLE
    await (await caller(stand, STRICT, "-sf", str(scenario(stand, refused(503))))).wait()
    await stand.doors.until_fact("call.ended")
    ended = stand.doors.fact("call.ended")
    assert (ended["gate"], ended["answered"]) == ("media_unavailable", False)


async def test_a_facts_backlog_keeps_the_gate_shut(stand: Stand) -> None:
    """While the ledger takes no facts there is no permit; afterwards each fact arrives once."""
    stand.doors.faults["Append"] = grpc.StatusCode.UNAVAILABLE
    async with agent(stand):
        await (await caller(stand, RECORDED, "-sn", "uac", "-d", "1500")).wait()
    assert "RequestPermit" not in stand.doors.methods()
    del stand.doors.faults["Append"]
    await stand.doors.until_fact("call.ended")
    assert stand.doors.fact("call.ended")["gate"] == "ledger_unavailable"


async def test_an_emergency_call_connects_with_everything_dead(tmp_path: Path) -> None:
    """I11: no door answers at all; the call is set up and hung up, its facts wait."""
    async with Stand(tmp_path, doors_up=False) as stand, agent(stand):
        await (await caller(stand, EMERGENCY)).wait()


async def test_an_emergency_call_leaves_no_numbers(stand: Stand) -> None:
    """No policy, no media, no numbers; gate `not_asked`."""
    await call(stand, EMERGENCY)
    assert [fact["type"] for fact in stand.doors.facts()] == [
        "call.started",
        "call.answered",
        "call.ended",
    ]
    started = stand.doors.fact("call.started")
    assert started["kind"] == "emergency"
    assert not [name for name in started if "number" in name or "name" in name]
    assert stand.doors.fact("call.answered")["media_node"] == ""
    assert stand.doors.fact("call.ended")["gate"] == "not_asked"
    assert not stand.doors.methods("Open", "Announce", "RequestPermit", "Record")


async def test_an_unrecorded_call_passes_through(stand: Stand) -> None:
    """The agent gets the caller's own description: no port of the recorder."""
    seen = stand.folder / "agent.messages"
    trace = ("-trace_msg", "-message_file", str(seen))
    async with agent(stand, "-sn", "uas", *trace):
        offer = ("-sn", "uac", "-d", "100", "-mp", "41000")
        await (await caller(stand, UNRECORDED, *offer)).wait()
    await stand.doors.until_fact("call.ended")
    assert "m=audio 41000" in seen.read_text()
    assert f"m=audio {RECORDER_AGENT}" not in seen.read_text()
    assert "callee_number" not in stand.doors.fact("call.started")
    assert not stand.doors.methods("Open", "Announce", "RequestPermit", "Record", "Close")


@pytest.mark.parametrize(
    ("status", "cause"), [(486, "busy"), (404, "not_found"), (480, "no_answer"), (503, "refused")]
)
async def test_the_agents_refusal_is_passed_on(stand: Stand, status: int, cause: str) -> None:
    """4xx and 5xx reach the caller as they are, and the recorder is closed."""
    async with agent(stand, "-sf", str(scenario(stand, refuses(status), "a.xml"))) as phone:
        await (await caller(stand, RECORDED, "-sf", str(scenario(stand, refused(status))))).wait()
        await phone.wait()
    await stand.doors.until_fact("call.ended")
    ended = stand.doors.fact("call.ended")
    assert (ended["cause"], ended["sip_code"], ended["answered"]) == (cause, status, False)
    await stand.doors.until_asked("Close")


async def test_no_answer_is_given_up(stand: Stand) -> None:
    """After the ring time the agent is cancelled and the caller gets 480."""
    async with agent(stand, "-sf", str(scenario(stand, RINGS_UNTIL_CANCELLED, "a.xml"))) as phone:
        await (await caller(stand, RECORDED, "-sf", str(scenario(stand, refused(480))))).wait()
        await phone.wait()
    await stand.doors.until_fact("call.ended")
    assert stand.doors.fact("call.ended")["cause"] == "no_answer"


async def test_the_callers_cancel_reaches_the_agent(stand: Stand) -> None:
    """CANCEL: 200 and 487 for the caller, CANCEL for the agent, nothing kept."""
    async with agent(stand, "-sf", str(scenario(stand, RINGS_UNTIL_CANCELLED, "a.xml"))) as phone:
        await (await caller(stand, RECORDED, "-sf", str(scenario(stand, CANCELS)))).wait()
        await phone.wait()
    await stand.doors.until_fact("call.ended")
    ended = stand.doors.fact("call.ended")
    assert (ended["cause"], ended["sip_code"]) == ("caller_cancelled", 487)


async def test_caller_hangs_up_during_the_notice(stand: Stand) -> None:
    """The agent gets a BYE, the recorder is closed, no permit is asked for."""
    stand.doors.notice_may_end.clear()
    await call(stand, RECORDED)
    stand.doors.notice_may_end.set()
    assert stand.doors.fact("call.ended")["gate"] == "call_ended"
    assert not stand.doors.methods("RequestPermit", "Record")


async def test_agent_hangs_up_during_the_notice(stand: Stand) -> None:
    """The caller gets a BYE, the recorder is closed, no permit is asked for."""
    stand.doors.notice_may_end.clear()
    async with agent(stand, "-sf", str(scenario(stand, ANSWERS_AND_HANGS_UP, "a.xml"))) as phone:
        await (await caller(stand, RECORDED, "-sf", str(scenario(stand, WAITS_FOR_BYE)))).wait()
        await phone.wait()
    await stand.doors.until_fact("call.ended")
    stand.doors.notice_may_end.set()
    assert stand.doors.fact("call.ended")["cause"] == "agent_hung_up"
    assert not stand.doors.methods("RequestPermit", "Record")


async def test_an_unusable_codec_is_refused(stand: Stand) -> None:
    """An offer without PCMU or PCMA gets 488; the next call works."""
    bad = refused(488).replace("RTP/AVP 0", "RTP/AVP 18").replace("rtpmap:0 PCMU", "rtpmap:18 G729")
    await (await caller(stand, RECORDED, "-sf", str(scenario(stand, bad)))).wait()
    await call(stand, RECORDED)
    assert len(stand.doors.methods("Open")) == 1


async def test_twenty_calls_at_once(stand: Stand) -> None:
    """Twenty calls within a second: each told, permitted, recorded, ended."""
    async with agent(stand, calls=20):
        many = ("-sn", "uac", "-d", "1000", "-r", "20", "-l", "20")
        await (await caller(stand, RECORDED, *many, calls=20)).wait()
    await stand.doors.until_fact("call.ended", 20)
    ended = [fact for fact in stand.doors.facts() if fact["type"] == "call.ended"]
    assert [fact["gate"] for fact in ended] == ["opened"] * 20


async def test_hung_doors_do_not_hold_up_sip(stand: Stand) -> None:
    """With every door hanging, OPTIONS and an emergency call are served at once."""
    stand.doors.faults = dict.fromkeys(("Open", "Announce", "Append", "RequestPermit"), HANG)
    waiting = await caller(stand, RECORDED, "-sn", "uac", "-d", "100")
    async with agent(stand, calls=2):
        await (await caller(stand, EMERGENCY)).wait()
        await (await caller(stand, "1", "-sf", str(scenario(stand, OPTIONS, "o.xml")))).wait()
        await waiting.wait()


async def test_running_calls_are_named_and_renewed(stand: Stand) -> None:
    """While a call runs, its recorder gets Renew and the ledger KeepAlive with its id."""
    async with agent(stand):
        phone = await caller(stand, RECORDED, "-sn", "uac", "-d", "1500")
        await stand.doors.until_asked("Renew")
        await phone.wait()
    await stand.doors.until_fact("call.ended")
    call_id = str(stand.doors.fact("call.started")["id"]).partition(":")[0]
    renewed = [r for m, r in stand.doors.asked if m == "Renew"]
    assert list(renewed[0].call_ids) == [call_id]
    kept = [r for m, r in stand.doors.asked if m == "KeepAlive" and r.call_ids]
    assert (kept[0].worker, list(kept[0].call_ids)) == ("signalling-t", [call_id])


async def test_call_control(stand: Stand) -> None:
    """List, pause, resume, object and hang up act on the running call."""
    async with (
        agent(stand),
        grpc.aio.insecure_channel(f"{LOOPBACK}:{stand.control}") as channel,
    ):
        control = rpc.CallControlStub(channel)
        phone = await caller(stand, RECORDED, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await stand.doors.until_asked("Record")
        call_id = await recording(control)
        await control.Pause(pb.PauseRequest(call_id=call_id, cause="card_data"), timeout=5)
        resumed = await control.Resume(pb.ResumeRequest(call_id=call_id), timeout=5)
        assert resumed.recording
        objection = pb.ObjectRequest(call_id=call_id, party="caller", channel="spoken")
        event_id = (await control.Object(objection, timeout=5)).event_id
        await control.HangUp(pb.HangUpRequest(call_id=call_id), timeout=5)
        await phone.wait()
    await stand.doors.until_fact("call.ended")
    assert stand.doors.fact("objection.made")["id"] == event_id
    assert stand.doors.methods("Record", "Pause", "Stop") == ["Record", "Pause", "Record", "Stop"]
    permits = [r.permit_id for m, r in stand.doors.asked if m == "RequestPermit"]
    assert permits == [f"{call_id}:p0", f"{call_id}:p1"]
    assert stand.doors.fact("call.ended")["cause"] == "operator"


async def test_a_stop_does_not_queue_behind_the_gate(tmp_path: Path) -> None:
    """An objection while the recorder has not answered Record is told to it at once."""
    async with Stand(tmp_path, doors_up=True, media_seconds=30.0) as stand, agent(stand):
        stand.doors.faults["Record"] = HANG
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{stand.control}") as channel:
            control = rpc.CallControlStub(channel)
            phone = await caller(stand, RECORDED, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
            await stand.doors.until_hanging("Record")
            (call,) = (await control.List(pb.ListRequest(), timeout=5)).calls
            objection = pb.ObjectRequest(call_id=call.call_id, party="agent", channel="api")
            await control.Object(objection, timeout=5)
            assert stand.doors.methods("Record", "Stop") == ["Stop"]
            await control.HangUp(pb.HangUpRequest(call_id=call.call_id), timeout=5)
        await phone.wait()
        await stand.doors.until_fact("call.ended")


async def test_failed_recording_ends_a_strict_call(stand: Stand) -> None:
    """The recorder says that it failed: on a strict route both parties are hung up."""
    async with agent(stand):
        phone = await caller(stand, STRICT, "-sf", str(scenario(stand, WAITS_FOR_BYE)))
        await stand.doors.until_asked("Record")
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{stand.control}") as channel:
            await recording(rpc.CallControlStub(channel))
        stand.doors.failing_media.put_nowait("disk_full")
        await phone.wait()
    await stand.doors.until_fact("call.ended")
    ended = stand.doors.fact("call.ended")
    assert (ended["cause"], ended["gate"]) == ("recording_failed", "opened")


async def recording(control: rpc.CallControlAsyncStub) -> str:
    """Wait until the one call is being recorded; return its id."""
    async with asyncio.timeout(10):
        while True:
            (found,) = (await control.List(pb.ListRequest(), timeout=5)).calls
            if found.state == "recording":
                return found.call_id
