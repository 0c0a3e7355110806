"""Inside and around a call, with sipp on both sides: digits, hold, failover, a bad network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from integration.lossy import lossy
from integration.signalling_stand import LOOPBACK, Stand, agent, caller, free_port
from integration.sipp_scenarios import (
    ACCEPTS,
    ACK,
    CONTACT,
    EARLY,
    HOLD_SDP,
    INVITE,
    OK,
    SDP,
    TAKES,
    TALKS,
    TYPE,
    in_call,
    refuses,
    reply,
    scenario,
    seen,
)
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as media_pb

RECORDED, FAILOVER = "1000", "3000"
CALLS = 40
LOSS = 0.05


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A signalling service whose doors are all there."""
    async with Stand(tmp_path, doors_up=True, ring_seconds=15.0) as running:
        yield running


async def play(stand: Stand, number: str, calling: str, called: str) -> None:
    """Let sipp play both sides of one call, each to its end."""
    async with agent(stand, "-sf", str(scenario(stand, called, "a.xml"))) as phone:
        await (await caller(stand, number, "-sf", str(scenario(stand, calling)))).wait()
        await phone.wait()
    await stand.doors.until_fact("call.ended")


async def test_a_digit_and_the_reason_of_a_hang_up_cross(stand: Stand) -> None:
    """INFO goes through with its body and its answer; so does the BYE's Reason."""
    digit = "Content-Type: application/dtmf-relay\n"
    reason = "Reason: Q.850;cause=16\n"
    calling = (
        TALKS
        + in_call("INFO", 2, digit, "Signal=5\nDuration=160")
        + '<recv response="200"/>'
        + in_call("BYE", 3, reason)
        + '<recv response="200"/>'
    )
    called = TAKES + seen("INFO", "", "Signal=5") + OK + seen("BYE", "Reason", "cause=16") + OK
    await play(stand, RECORDED, calling, called)


async def test_hold_and_retrieve(stand: Stand) -> None:
    """The agent is told with the recorder's address; one pause, and a second permit."""
    calling = (
        TALKS
        + in_call("INVITE", 2, TYPE, HOLD_SDP)
        + '<recv response="100" optional="true"/><recv response="200"/>'
        + ACK.replace("1 ACK", "2 ACK")
        + '<pause milliseconds="300"/>'
        + in_call("INVITE", 3, TYPE, SDP)
        + '<recv response="100" optional="true"/><recv response="200"/>'
        + ACK.replace("1 ACK", "3 ACK")
        + '<pause milliseconds="500"/>'
        + in_call("BYE", 4)
        + '<recv response="200"/>'
    )
    answer = f"{CONTACT}\n{TYPE}"
    held = seen("INVITE", "", "a=sendonly") + reply("200 OK", answer, f"{SDP}\na=recvonly")
    back = seen("INVITE", "", "a=sendrecv") + reply("200 OK", answer, SDP)
    acked = '<recv request="ACK"/>'
    called = f'{TAKES}{held}{acked}{back}{acked}<recv request="BYE"/>{OK}'
    await play(stand, RECORDED, calling, called)
    conduct = stand.doors.methods("Record", "Pause", "RequestPermit", "Close")
    assert conduct == ["RequestPermit", "Record", "Pause", "RequestPermit", "Record", "Close"]
    (pause,) = [request for method, request in stand.doors.asked if method == "Pause"]
    assert (pause.cause, pause.actor_role) == ("hold", "customer")


async def test_early_media_is_heard_before_the_answer(stand: Stand) -> None:
    """183 with the recorder's address; the parties are joined for it, and apart for the notices."""
    early = ACCEPTS.replace("200 OK", "183 Session Progress").replace(' retrans="500"', "")
    called = (
        f'<recv request="INVITE"/>{early}<pause milliseconds="200"/>{ACCEPTS}'
        f'<recv request="ACK"/><recv request="BYE"/>{OK}'
    )
    heard = (
        '<recv response="100" optional="true"/><recv response="183"><action><ereg '
        'regexp="m=audio 20000 RTP/AVP 0" search_in="body" check_it="true" assign_to="1"/>'
        '</action></recv><Reference variables="1"/><recv response="200"/>'
    )
    bye = in_call("BYE", 2) + '<recv response="200"/>'
    await play(stand, RECORDED, f'{INVITE}{heard}{ACK}<pause milliseconds="1500"/>{bye}', called)
    assert stand.doors.fact("call.ended")["gate"] == "opened"
    rules = [request.bridge for method, request in stand.doors.asked if method == "Update"]
    assert rules == [media_pb.BRIDGE_NOW, media_pb.BRIDGE_AFTER_NOTICES]


async def test_a_call_without_an_offer_is_recorded(stand: Stand) -> None:
    """The 200 has our offer, the ACK the caller's answer; then both are told as ever."""
    bare = INVITE.replace("Content-Type: application/sdp\n", "").replace(SDP, "")
    ack = ACK.replace("Content-Length: 0\n", f"{TYPE}Content-Length: [len]\n\n{SDP}")
    bye = in_call("BYE", 2)
    talk = f'{EARLY}<recv response="200"/>{ack}<pause milliseconds="1500"/>{bye}'
    await play(
        stand, RECORDED, f'{bare}{talk}<recv response="200"/>', f'{TAKES}<recv request="BYE"/>{OK}'
    )
    assert stand.doors.fact("call.ended")["gate"] == "opened"
    updates = [request for method, request in stand.doors.asked if method == "Update"]
    assert [leg.remote_port for leg in updates[-1].legs] == [41000, 41000]


async def test_who_asks_for_an_offer_gets_one(stand: Stand) -> None:
    """A re-INVITE without a description is answered with ours; its ACK brings theirs."""
    calling = (
        TALKS
        + in_call("INVITE", 2)
        + '<recv response="100" optional="true"/><recv response="200"><action>'
        + '<ereg regexp="m=audio 20000 RTP/AVP 0" search_in="body" check_it="true" assign_to="1"/>'
        + '</action></recv><Reference variables="1"/>'
        + ACK.replace("1 ACK", "2 ACK").replace(
            "Content-Length: 0\n", f"{TYPE}Content-Length: [len]\n\n{SDP}"
        )
        + in_call("BYE", 3)
        + '<recv response="200"/>'
    )
    await play(stand, RECORDED, calling, f'{TAKES}<recv request="BYE"/>{OK}')
    assert stand.doors.fact("call.ended")["gate"] == "opened"


async def test_a_hang_up_that_crosses_an_offer_ends_the_call(stand: Stand) -> None:
    """BYE while our re-INVITE to the agent is open: both sides are over, once."""
    calling = (
        TALKS
        + in_call("INVITE", 2, TYPE, HOLD_SDP)
        + '<recv response="100"/>'
        + in_call("BYE", 3)
        + '<recv response="200" optional="true"/><recv response="487"/>'
        + ACK.replace("1 ACK", "2 ACK")
    )
    called = f'{TAKES}<recv request="INVITE"/><recv request="BYE"/>{OK}'
    await play(stand, RECORDED, calling, called)
    assert stand.doors.fact("call.ended")["cause"] == "caller_hung_up"


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_the_next_hop_takes_the_call(stand: Stand, how: str) -> None:
    """503, or nothing at all: the second of `to` gets the same call, and it is recorded."""
    steps = refuses(503) if how == "refuses" else '<recv request="BYE"/>'
    broken = scenario(stand, steps, "f.xml")
    async with agent(stand, "-sf", str(broken), port=stand.first), agent(stand):
        await (await caller(stand, FAILOVER, "-sn", "uac", "-d", "1500")).wait()
    await stand.doors.until_fact("call.ended")
    assert stand.doors.fact("call.ended")["gate"] == "opened"
    assert len(stand.doors.methods("Open")) == 1


async def test_no_call_fails_on_a_bad_network(stand: Stand) -> None:
    """5 % of the datagrams lost each way on both sides: each call is one, from INVITE to BYE."""
    near, far = free_port(), free_port()
    contact = f"Contact: <sip:[local_ip]:{stand.first}>"
    steps = f'{TAKES}<recv request="BYE"/>{OK}<timewait milliseconds="4000"/>'
    called = scenario(stand, steps.replace(CONTACT, contact), "a.xml")
    async with (
        lossy(near, (LOOPBACK, stand.sip), rate=LOSS, seed=1) as caller_side,
        lossy(stand.first, (LOOPBACK, far), rate=LOSS, seed=2) as agent_side,
        agent(stand, "-sf", str(called), port=far, calls=CALLS),
    ):
        many = ("-sn", "uac", "-d", "1000", "-r", "10", "-l", str(CALLS))
        await (await caller(stand, FAILOVER, *many, calls=CALLS, port=near)).wait()
    await stand.doors.until_fact("call.ended", CALLS)
    ended = [fact for fact in stand.doors.facts() if fact["type"] == "call.ended"]
    assert len(ended) == CALLS
    assert {fact["cause"] for fact in ended} == {"caller_hung_up"}
    assert caller_side.lost > 0
    assert agent_side.lost > 0
