"""What the two phones of the demo do: one call that is recorded, one that must not be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from importlib import resources
from typing import TypeVar

from onrecord.softphone import CallEndedEarly, PhoneCall, Softphone
from onrecord.softphone.audio import payloads_of_wav, silence
from onrecord.standalone.errors import StandaloneError
from onrecord.standalone.follow import CallFollower

CODEC = "PCMU"
ANSWER_SECONDS = 10.0
GATE_SECONDS = 30.0
SPEECH_SECONDS = 30.0
T = TypeVar("T")
_PAUSE_FRAMES = 15
_OPENED_OR_NOT = frozenset({"recording.started", "permit.refused", "notice.failed"})


async def dial(
    caller: Softphone, agent: Softphone, number: str, own: str, sip: tuple[str, int]
) -> dict[str, PhoneCall]:
    """Place a call from the number `own`; gives each party's side of it once the agent rings."""
    outgoing = await caller.call(number, sip, caller=own)
    called = asyncio.create_task(agent.next_call(ANSWER_SECONDS))
    over = asyncio.create_task(outgoing.wait_over(2 * ANSWER_SECONDS))
    await asyncio.wait({called, over}, return_when=asyncio.FIRST_COMPLETED)
    over.cancel()
    if outgoing.ending:
        called.cancel()
        raise StandaloneError(f"the agent was not called: {outgoing.ending}")
    incoming = await awaited(called, "the agent was not called")
    incoming.ring()
    return {"caller": outgoing, "agent": incoming}


async def recorded(follower: CallFollower, head: int, phones: dict[str, PhoneCall]) -> str:
    """Both speak at once during the notices, then one after the other; the caller hangs up.

    The call is the first one in the log after `head`. On a line that is not recorded nothing is
    waited for.
    """
    outgoing, incoming = phones["caller"], phones["agent"]
    incoming.answer()
    incoming.say(_speech("agent-early"))
    await awaited(outgoing.wait_answered(ANSWER_SECONDS), "the call was not answered")
    outgoing.say(_speech("caller-early"))
    call = await _id_of(follower, head)
    started = await follower.event(call, frozenset({"call.started"}), GATE_SECONDS)
    if started.fields["kind"] == "recorded":
        await awaited(follower.event(call, _OPENED_OR_NOT, GATE_SECONDS), "recording did not start")
    outgoing.say(_speech("caller"))
    await outgoing.wait_said(SPEECH_SECONDS)
    incoming.say(_speech("agent"))
    await incoming.wait_said(SPEECH_SECONDS)
    await _hang_up(phones)
    return call


async def unrecorded(follower: CallFollower, head: int, phones: dict[str, PhoneCall]) -> str:
    """Both say a few words at once; the caller hangs up."""
    outgoing, incoming = phones["caller"], phones["agent"]
    incoming.answer()
    await awaited(outgoing.wait_answered(ANSWER_SECONDS), "the call was not answered")
    outgoing.say(_speech("caller-early"))
    incoming.say(_speech("agent-early"))
    await outgoing.wait_said(SPEECH_SECONDS)
    await incoming.wait_said(SPEECH_SECONDS)
    await _hang_up(phones)
    return await _id_of(follower, head)


async def awaited(work: Awaitable[T], what_failed: str) -> T:
    """Turn a passed deadline into an error that says what did not happen."""
    try:
        return await work
    except (TimeoutError, CallEndedEarly) as error:
        raise StandaloneError(f"{what_failed} ({error or 'in time'})") from error


async def _id_of(follower: CallFollower, head: int) -> str:
    return await awaited(
        follower.call_started_after(head, GATE_SECONDS), "call.started was not published"
    )


async def _hang_up(phones: dict[str, PhoneCall]) -> None:
    outgoing, incoming = phones["caller"], phones["agent"]
    outgoing.say([silence(CODEC)] * _PAUSE_FRAMES)
    await outgoing.wait_said(SPEECH_SECONDS)
    outgoing.hang_up()
    await awaited(incoming.wait_over(ANSWER_SECONDS), "the agent was not told of the end")


def _speech(name: str) -> list[bytes]:
    data = resources.files("onrecord.standalone").joinpath("speech", f"{name}.wav").read_bytes()
    return payloads_of_wav(data, CODEC)
