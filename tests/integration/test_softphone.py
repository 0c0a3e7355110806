"""Two softphones calling each other over loopback."""

from __future__ import annotations

import random

import pytest
from onrecord.rtp import dtmf
from onrecord.softphone import CallEndedEarly, Softphone, answering, rejecting, ringing
from onrecord.softphone.media import MediaFrame

DEADLINE = 10.0


def payloads(seed: random.Random, count: int) -> list[bytes]:
    """Speech that no other frame equals."""
    return [seed.randbytes(160) for _ in range(count)]


def spoken(frames: list[MediaFrame]) -> list[bytes]:
    """The payloads of the frames that were not silence, in the order of their numbers."""
    return [frame.payload for frame in frames if len(set(frame.payload)) > 1]


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
async def test_what_is_said_arrives_bit_by_bit(codec: str) -> None:
    """Both sides speak; each receives the other's payloads, in order, under one SSRC."""
    seed = random.Random(20)  # noqa: S311 - reproducible, not secret
    to_agent, to_caller = payloads(seed, 10), payloads(seed, 10)
    async with (
        Softphone(behaviour=answering(speech=to_caller)) as agent,
        Softphone(codecs=(codec,)) as caller,
    ):
        call = await caller.call("100", agent.address, caller="4420")
        await call.wait_ringing(DEADLINE)
        await call.wait_answered(DEADLINE)
        call.say(to_agent)
        await call.wait_said(DEADLINE)
        other = agent.calls[0]
        assert other.number == "100"
        await other.wait_said(DEADLINE)
        call.hang_up()
        assert await other.wait_over(DEADLINE) == "far_side_hung_up"
        assert call.ending == "hung_up"
        assert spoken(other.media.received) == to_agent
        assert spoken(call.media.received) == to_caller
        assert [f.payload for f in call.media.sent if f.speech] == to_agent
        assert len({frame.ssrc for frame in other.media.received}) == 1
        assert call.media.codec == codec


async def test_the_called_side_hangs_up() -> None:
    """The caller learns that the far side hung up."""
    async with Softphone(behaviour=answering(talks=0.05)) as agent, Softphone() as caller:
        call = await caller.call("100", agent.address)
        assert await call.wait_over(DEADLINE) == "far_side_hung_up"
        assert call.is_answered


async def test_busy_is_told_to_the_caller() -> None:
    """A rejected call ends with its status, and waiting for its answer says so."""
    async with Softphone(behaviour=rejecting(486)) as agent, Softphone() as caller:
        call = await caller.call("100", agent.address)
        with pytest.raises(CallEndedEarly, match="rejected 486"):
            await call.wait_answered(DEADLINE)


async def test_a_call_can_be_cancelled() -> None:
    """Both sides see a cancelled call when the caller gives up while it rings."""
    async with Softphone(behaviour=ringing()) as agent, Softphone() as caller:
        call = await caller.call("100", agent.address)
        await call.wait_ringing(DEADLINE)
        call.cancel()
        assert await call.wait_over(DEADLINE) == "cancelled"
        assert await agent.calls[0].wait_over(DEADLINE) == "cancelled"


async def test_no_shared_codec_is_488() -> None:
    """A phone that has only A-law refuses an offer of mu-law."""
    async with (
        Softphone(codecs=("PCMA",), behaviour=answering()) as agent,
        Softphone() as caller,
    ):
        call = await caller.call("100", agent.address, codec="PCMU")
        assert await call.wait_over(DEADLINE) == "rejected 488"


async def test_calls_without_a_behaviour_wait_to_be_taken() -> None:
    """The owner of the phone takes the call itself."""
    async with Softphone() as agent, Softphone() as caller:
        call = await caller.call("100", agent.address)
        taken = await agent.next_call(DEADLINE)
        taken.answer()
        await call.wait_answered(DEADLINE)
        await taken.wait_audio(DEADLINE)


async def test_a_key_is_sent_as_a_telephone_event() -> None:
    """The far side decodes one press; the packets of the event share their timestamp."""
    async with Softphone(behaviour=answering()) as agent, Softphone() as caller:
        call = await caller.call("100", agent.address)
        await call.wait_answered(DEADLINE)
        call.press("#")
        await call.wait_said(DEADLINE)
        call.hang_up()
        await agent.calls[0].wait_over(DEADLINE)
        events = [f for f in agent.calls[0].media.received if f.payload_type == 101]
        assert len({frame.timestamp for frame in events}) == 1
        collector = dtmf.DigitCollector()
        digits = [
            digit.digit
            for frame in events
            for digit in collector.feed(frame.timestamp, dtmf.parse(frame.payload))
        ]
        assert digits == ["#"]
