"""Calls between two softphones through a stack that keeps running."""

from __future__ import annotations

import pytest
from conversation import a_recorded_call, all_hold, speech
from onrecord.softphone import (
    CallEndedEarly,
    PhoneCall,
    answering,
    rejecting,
    ringing,
)
from onrecord.standalone.checks import ANY_CALL, run_checks
from onrecord.standalone.demo import tape
from stack import WAIT_SECONDS, Laboratory, RunningStack, laboratory


async def test_the_same_call_twice_on_a_stack_left_running(stack: RunningStack) -> None:
    """The second call is recorded like the first, under its own id."""
    async with laboratory(stack, answering()) as lab:
        first = await a_recorded_call(lab, "1000", seed=1)
        second = await a_recorded_call(lab, "1000", seed=1)
    assert first != second


async def test_a_strict_route_records_too(stack: RunningStack) -> None:
    """With on_no_permit = "refuse" the parties are joined by the permit, and all is kept."""
    async with laboratory(stack, answering()) as lab:
        await a_recorded_call(lab, "7000", seed=10)


@pytest.mark.parametrize("codec", ["PCMA"])
async def test_a_law_is_kept_as_it_came(stack: RunningStack, codec: str) -> None:
    """A call in A-law is stored in A-law, bit by bit."""
    async with laboratory(stack, answering(), codecs=(codec,)) as lab:
        lab.caller._codecs = lab.agent._codecs
        await a_recorded_call(lab, "1000", seed=20)


async def test_the_agent_hangs_up(stack: RunningStack) -> None:
    """The caller's phone is told, and the recording is whole."""
    async with laboratory(stack, answering()) as lab:
        head = await lab.head()
        outgoing = await lab.dial()
        await outgoing.wait_answered(WAIT_SECONDS)
        incoming = lab.agent.calls[-1]
        call = await lab.id_of_call_after(head)
        await lab.event(call, "recording.started")
        for phone in (outgoing, incoming):
            phone.say(speech(30, 0.5))
        await incoming.wait_said(WAIT_SECONDS)
        incoming.say(speech(31, 0.3))
        await incoming.wait_said(WAIT_SECONDS)
        incoming.hang_up()
        assert await outgoing.wait_over(WAIT_SECONDS) == "far_side_hung_up"
        verdict = await lab.event(call, "call.verdict")
        assert verdict.fields["verdict"] == "recorded"
        await all_hold(lab, call, {"caller": outgoing, "agent": incoming})


@pytest.mark.parametrize("who", ["caller", "agent"])
async def test_hanging_up_during_the_notice_keeps_nothing(stack: RunningStack, who: str) -> None:
    """No permit, no object, and a verdict that says why."""
    async with laboratory(stack, answering()) as lab:
        head = await lab.head()
        outgoing = await lab.dial()
        await outgoing.wait_answered(WAIT_SECONDS)
        incoming = lab.agent.calls[-1]
        outgoing.say(speech(40, 1))
        await outgoing.wait_audio(WAIT_SECONDS)
        await incoming.wait_audio(WAIT_SECONDS)
        leaving, staying = (outgoing, incoming) if who == "caller" else (incoming, outgoing)
        leaving.hang_up()
        assert await staying.wait_over(WAIT_SECONDS) == "far_side_hung_up"
        call = await lab.id_of_call_after(head)
        verdict = await lab.event(call, "call.verdict")
        assert verdict.fields["verdict"] == "failed"
        assert verdict.fields["causes"][0] == "call_ended"
        await nothing_was_kept(lab, call, {"caller": outgoing, "agent": incoming})


@pytest.mark.parametrize(("number", "rule"), [("91000", "route/"), ("999", "emergency")])
async def test_calls_that_may_not_be_recorded_connect_and_are_not(
    stack: RunningStack, number: str, rule: str
) -> None:
    """The unrecorded line and an emergency call: media goes past us, the rule is on record."""
    async with laboratory(stack, answering()) as lab:
        head = await lab.head()
        outgoing = await lab.dial(number)
        await outgoing.wait_answered(WAIT_SECONDS)
        incoming = lab.agent.calls[-1]
        said, answered = speech(50, 0.3), speech(51, 0.3)
        outgoing.say(said)
        incoming.say(answered)
        await outgoing.wait_said(WAIT_SECONDS)
        await incoming.wait_said(WAIT_SECONDS)
        await outgoing.wait_audio(WAIT_SECONDS)
        outgoing.hang_up()
        await incoming.wait_over(WAIT_SECONDS)
        # Nobody stood in between: the very packets that one phone sent reached the other.
        arrived = {(f.ssrc, f.sequence, f.payload) for f in incoming.media.received}
        assert {(f.ssrc, f.sequence, f.payload) for f in outgoing.media.sent[:-2]} <= arrived
        call = await lab.id_of_call_after(head)
        verdict = await lab.event(call, "call.verdict")
        assert verdict.fields["verdict"] == "not_recorded"
        assert verdict.fields["rule"].startswith(rule)
        started = await lab.event(call, "call.started")
        assert not started.commitments
        await nothing_was_kept(lab, call, {"caller": outgoing, "agent": incoming})


async def test_a_busy_agent(stack: RunningStack) -> None:
    """The caller gets 486; a call that nobody answered has an end and no verdict."""
    async with laboratory(stack, rejecting(486)) as lab:
        head = await lab.head()
        outgoing = await lab.dial()
        with pytest.raises(CallEndedEarly, match="rejected 486"):
            await outgoing.wait_answered(WAIT_SECONDS)
        ended = await lab.event(await lab.id_of_call_after(head), "call.ended")
        assert (ended.fields["answered"], ended.fields["sip_code"]) == (False, 486)


async def test_a_caller_who_gives_up(stack: RunningStack) -> None:
    """CANCEL reaches the agent; the call has an end and no verdict."""
    async with laboratory(stack, ringing()) as lab:
        head = await lab.head()
        outgoing = await lab.dial()
        await outgoing.wait_ringing(WAIT_SECONDS)
        outgoing.cancel()
        assert await outgoing.wait_over(WAIT_SECONDS) == "cancelled"
        assert await lab.agent.calls[-1].wait_over(WAIT_SECONDS) == "cancelled"
        ended = await lab.event(await lab.id_of_call_after(head), "call.ended")
        assert (ended.fields["answered"], ended.fields["sip_code"]) == (False, 487)


async def nothing_was_kept(lab: Laboratory, call: str, phones: dict[str, PhoneCall]) -> None:
    """No permit, no audio anywhere, and what holds for every call holds."""
    tapes = {party: tape(phone) for party, phone in phones.items()}
    seen = await lab.observe(call, tapes)
    assert not seen.of_type("permit.issued", "recording.started", "recording.stored")
    assert not seen.objects
    assert not [f for f in run_checks(seen, ANY_CALL) if not f.holds]
