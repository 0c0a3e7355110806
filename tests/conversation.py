"""A whole recorded call between two softphones, with everything about it checked."""

from __future__ import annotations

import random

from onrecord.softphone import PhoneCall
from onrecord.standalone.checks import ANY_CALL, RECORDED_CALL, run_checks
from onrecord.standalone.demo import tape
from stack import WAIT_SECONDS, Laboratory


def speech(seed: int, seconds: float) -> list[bytes]:
    """Noise of which no two frames are equal."""
    source = random.Random(seed)  # noqa: S311 - reproducible, not secret
    return [source.randbytes(160) for _ in range(int(seconds * 50))]


async def all_hold(lab: Laboratory, call: str, phones: dict[str, PhoneCall]) -> None:
    """Listen to a recorded call and check everything about it."""
    release = await lab.listen(call)
    tapes = {party: tape(phone) for party, phone in phones.items()}
    seen = await lab.observe(call, tapes, release)
    broken = [f for f in run_checks(seen, ANY_CALL | RECORDED_CALL) if not f.holds]
    assert not broken


async def a_recorded_call(lab: Laboratory, number: str, seed: int) -> str:
    """Both talk from the first moment on, the caller hangs up; every promise is checked."""
    head = await lab.head()
    outgoing = await lab.dial(number)
    await outgoing.wait_answered(WAIT_SECONDS)
    incoming = lab.agent.calls[-1]
    outgoing.say(speech(seed, 1))
    call = await lab.id_of_call_after(head)
    await lab.event(call, "recording.started")
    outgoing.say(speech(seed + 1, 1))
    incoming.say(speech(seed + 2, 1))
    await outgoing.wait_said(WAIT_SECONDS)
    await incoming.wait_said(WAIT_SECONDS)
    outgoing.say(speech(seed + 3, 0.3))
    await outgoing.wait_said(WAIT_SECONDS)
    outgoing.hang_up()
    assert await incoming.wait_over(WAIT_SECONDS) == "far_side_hung_up"
    verdict = await lab.event(call, "call.verdict")
    assert verdict.fields["verdict"] == "recorded", verdict.fields
    await all_hold(lab, call, {"caller": outgoing, "agent": incoming})
    return call
