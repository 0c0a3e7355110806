"""A recording session at the recorder: any number of streams, received only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import pytest
from integration.media_stand import Phone, Stand, media_stand
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as pb
from onrecord.ledger.permit import STREAMS, Position

CALL = "0193c5a3"
CODEC = pb.Codec(payload_type=0, name="PCMU", clock_rate=8000)


@contextlib.asynccontextmanager
async def sources(count: int) -> AsyncIterator[list[Phone]]:
    """As many senders as there are streams."""
    phones = [Phone(7 + number, 1000 * (number + 1)) for number in range(count)]
    loop = asyncio.get_running_loop()
    for phone in phones:
        await loop.create_datagram_endpoint(lambda one=phone: one, ("127.0.0.1", 0))  # type: ignore[misc]
    try:
        yield phones
    finally:
        for phone in phones:
            assert phone.transport is not None
            phone.transport.close()


async def open_streams(stand: Stand, phones: Sequence[Phone]) -> None:
    """Open, or add to, the session's streams, and tell each sender where to send."""
    legs = [
        pb.Leg(name=leg, remote_host="127.0.0.1", remote_port=phone.port, audio=CODEC)
        for leg, phone in zip(STREAMS, phones, strict=False)
    ]
    request = pb.OpenRequest(call_id=CALL, legs=legs, bridge=pb.BRIDGE_NEVER)
    opened = await stand.media.Open(request, timeout=5)
    places = {leg.name: (leg.host, leg.port) for leg in opened.legs}
    for leg, phone in zip(STREAMS, phones, strict=False):
        phone.to = places[leg]


async def received(stand: Stand, expected: Sequence[int]) -> dict[str, Position]:
    """Wait until the streams stand at these sequence numbers, and say so by `Told`."""
    async with asyncio.timeout(10):
        while True:
            told = await stand.media.Told(pb.ToldRequest(call_id=CALL), timeout=5)
            if [leg.received.sequence for leg in told.legs] == list(expected):
                return {
                    leg.name: Position(
                        leg.received.ssrc, leg.received.sequence + 1, leg.received.timestamp
                    )
                    for leg in told.legs
                }
            await asyncio.sleep(0.02)  # packets on their way through another process


def talk(phones: Sequence[Phone], packets: int) -> None:
    """Let each sender send so many packets."""
    for _ in range(packets):
        for phone in phones:
            phone.talk()


async def close(stand: Stand) -> None:
    """End the session and wait until all of it is stored."""
    await stand.media.Close(pb.CloseRequest(call_id=CALL), timeout=5)
    await stand.final(CALL)


async def test_streams_are_kept_from_where_they_stood_when_somebody_was_told(
    tmp_path: Path,
) -> None:
    """Nothing from before the statement is stored, all after it is, and nothing is ever sent."""
    async with media_stand(tmp_path) as stand, sources(3) as phones:
        await open_streams(stand, phones)
        talk(phones, 10)
        first = await received(stand, [phone.sequence - 1 for phone in phones])
        talk(phones, 5)
        await stand.record(stand.permit(CALL, legs=first))
        talk(phones, 5)
        await received(stand, [phone.sequence - 1 for phone in phones])
        await close(stand)
        stored = stand.stored(CALL)
    for leg, phone in zip(STREAMS, phones, strict=False):
        kept = {frame.sequence: frame.payload for frame in stored[leg]}
        assert kept == {n: phone.sent[n] for n in range(first[leg].sequence, phone.sequence)}
        assert phone.heard == []
    assert stand.door.fields("recording.gap") == []


async def test_a_stream_added_later_is_kept_under_the_next_permit(tmp_path: Path) -> None:
    """The recorder is killed in between: its successor knows the added stream."""
    async with media_stand(tmp_path) as stand, sources(2) as phones:
        await open_streams(stand, phones[:1])
        await stand.record(stand.permit(CALL, legs={"stream-0": None}))
        talk(phones[:1], 5)
        await open_streams(stand, phones)
        stand.kill("writer")
        stand.start("writer")
        await stand.ready()
        pause = pb.PauseRequest(call_id=CALL, cause="stream_added", actor_role="system")
        await stand.media.Pause(pause, timeout=5)
        await stand.record(stand.permit(CALL, 1, legs=dict.fromkeys(STREAMS[:2])))
        talk(phones, 5)
        await received(stand, [phone.sequence - 1 for phone in phones])
        await close(stand)
        stored = stand.stored(CALL)
    assert [frame.sequence for frame in stored["stream-0"]] == sorted(phones[0].sent)
    assert [frame.sequence for frame in stored["stream-1"]] == sorted(phones[1].sent)


@pytest.mark.parametrize("names", [("stream-8",), ("stream-0", "caller"), ("stream-0", "stream-0")])
async def test_legs_of_other_names_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    """A leg's name becomes part of object keys; parties and streams are not mixed."""
    async with media_stand(tmp_path) as stand:
        legs = [pb.Leg(name=name) for name in names]
        request = pb.OpenRequest(call_id=CALL, legs=legs, bridge=pb.BRIDGE_NEVER)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stand.media.Open(request, timeout=5)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
