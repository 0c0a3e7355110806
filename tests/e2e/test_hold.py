"""Hold and retrieve with real audio: who waits may say what they like, nothing of it is kept."""

from __future__ import annotations

import pytest
from conversation import speech
from onrecord.softphone import PhoneCall, answering
from onrecord.standalone.checks import ANY_CALL, run_checks
from onrecord.standalone.demo import tape
from stack import WAIT_SECONDS, Laboratory, RunningStack, laboratory


async def recorded(lab: Laboratory) -> tuple[str, PhoneCall, PhoneCall]:
    """A call that is being recorded: its id, the caller's phone and the agent's."""
    head = await lab.head()
    outgoing = await lab.dial()
    await outgoing.wait_answered(WAIT_SECONDS)
    call = await lab.id_of_call_after(head)
    await lab.event(call, "recording.started")
    return call, outgoing, lab.agent.calls[-1]


async def both_say(phones: tuple[PhoneCall, PhoneCall], seed: int) -> list[bytes]:
    """Let both talk at once, and say nothing after it; return every frame of it."""
    words = [speech(seed + number, 0.5) for number in range(2)]
    for phone, said in zip(phones, words, strict=True):
        phone.say(said)
    for phone in phones:
        await phone.wait_said(WAIT_SECONDS)
    return [*words[0], *words[1]]


@pytest.mark.parametrize("holder", ["agent", "caller"])
async def test_nothing_of_who_waits_is_kept(stack: RunningStack, holder: str) -> None:
    """Before and after the hold all is kept, of the hold nothing, whoever asked for it."""
    async with laboratory(stack, answering()) as lab:
        call, outgoing, incoming = await recorded(lab)
        phones = outgoing, incoming
        holding = incoming if holder == "agent" else outgoing
        before = await both_say(phones, 600)
        await both_say(phones, 650)  # what is on its way when the hold is asked for
        holding.hold()
        assert await holding.wait_changed(WAIT_SECONDS) == 200
        paused = await lab.event(call, "recording.paused")
        assert (paused.fields["cause"], paused.fields["actor_role"]) == (
            "hold",
            "agent" if holder == "agent" else "customer",
        )
        waiting = await both_say(phones, 700)
        holding.retrieve()
        assert await holding.wait_changed(WAIT_SECONDS) == 200
        await lab.event(call, "recording.resumed")
        after = await both_say(phones, 800)
        await both_say(phones, 850)
        outgoing.hang_up()
        await incoming.wait_over(WAIT_SECONDS)
        verdict = await lab.event(call, "call.verdict")
        assert (verdict.fields["verdict"], list(verdict.fields["causes"])) == (
            "partly_recorded",
            ["hold"],
        )
        tapes = {"caller": tape(outgoing), "agent": tape(incoming)}
        seen = await lab.observe(call, tapes)
    kept = {frame.payload for party in ("caller", "agent") for frame in seen.frames(party)}
    assert set(before) <= kept
    assert set(after) <= kept
    assert not set(waiting) & kept
    assert not [f for f in run_checks(seen, ANY_CALL) if not f.holds]
