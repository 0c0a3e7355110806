"""The recorder's two processes keep exactly what a permit allows, and survive being killed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from integration.media_stand import Phone, Stand, media_stand, position
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as pb
from onrecord.ledger.permit import SignedPermit
from onrecord.platform.clock import utc_now

CALL = "0193c5a2"
PROMPT = bytes(range(1, 161)) * 10


def prompt_wav() -> bytes:
    """A prompt of 0.2 s in mu-law, so that its frames can be compared bit by bit."""
    form = struct.pack("<HHIIHH", 7, 1, 8000, 8000, 1, 8)
    chunks = struct.pack("<4sI", b"fmt ", len(form)) + form
    chunks += struct.pack("<4sI", b"data", len(PROMPT)) + PROMPT
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


@dataclass
class Talk:
    """A call that is set up, and the two who talk on it.

    `closing` has what each would say next when Close was asked for, and when it was answered.
    """

    stand: Stand
    caller: Phone
    agent: Phone
    reports: dict[str, pb.PlayReport]
    closing: dict[str, tuple[int, int]] = field(default_factory=dict)

    def permit(self, number: int = 0) -> SignedPermit:
        """The permit that the ledger would give on the strength of the play reports."""
        legs = {leg: position(report) for leg, report in self.reports.items()}
        services = dict.fromkeys(("service-caller", "service-agent"))
        return self.stand.permit(CALL, number, legs=legs | services)


async def play(stand: Stand, leg: str, notice: str = "n0") -> pb.PlayReport:
    """Have the notice played on a leg."""
    wav = prompt_wav()
    request = pb.PlayRequest(
        call_id=CALL,
        notice_id=notice,
        leg=leg,
        prompt_wav=wav,
        prompt_sha256=hashlib.sha256(wav).digest(),
    )
    return (await stand.media.Play(request, timeout=5)).report


@contextlib.asynccontextmanager
async def talk(stand: Stand) -> AsyncIterator[Talk]:
    """Set up the call, have both talk, play both notices."""
    loop = asyncio.get_running_loop()
    phones = {"caller": Phone(7, 65500), "agent": Phone(9, 1000)}
    for phone in phones.values():
        await loop.create_datagram_endpoint(lambda one=phone: one, ("127.0.0.1", 0))  # type: ignore[misc]
    codec = pb.Codec(payload_type=0, name="PCMU", clock_rate=8000)
    legs = [
        pb.Leg(name=leg, remote_host="127.0.0.1", remote_port=phone.port, audio=codec)
        for leg, phone in phones.items()
    ]
    request = pb.OpenRequest(
        call_id=CALL, legs=legs, bridge=pb.BRIDGE_AFTER_NOTICES, notice_legs=list(phones)
    )
    opened = await stand.media.Open(request, timeout=5)
    assert (opened.media_node, opened.media_address) == ("media-1", stand.address)
    for leg in opened.legs:
        phones[leg.name].to = (leg.host, leg.port)
    tasks = [asyncio.create_task(phone.keep_talking()) for phone in phones.values()]
    try:
        reports = await asyncio.gather(play(stand, "caller"), play(stand, "agent"))
        yield Talk(stand, *phones.values(), dict(zip(phones, reports, strict=True)))
    finally:
        for task in tasks:
            task.cancel()
        for phone in phones.values():
            assert phone.transport is not None
            phone.transport.close()


async def close(talked: Talk) -> None:
    """End the call and wait until all of it is stored."""
    phones = {"caller": talked.caller, "agent": talked.agent}
    asked = {leg: phone.sequence for leg, phone in phones.items()}
    await talked.stand.media.Close(pb.CloseRequest(call_id=CALL), timeout=5)
    talked.closing = {leg: (asked[leg], phone.sequence) for leg, phone in phones.items()}
    await talked.stand.final(CALL)


def assert_kept(stand: Stand, talked: Talk) -> None:
    """What was sent from the permit's positions on is stored once, and nothing else."""
    stored = stand.stored(CALL)
    for leg, phone in (("caller", talked.caller), ("agent", talked.agent)):
        first = position(talked.reports[leg])
        assert first is not None
        kept = [frame.sequence for frame in stored[leg]]
        assert len(set(kept)) == len(kept)
        assert min(kept) == first.sequence
        assert sorted(kept) == list(range(first.sequence, max(kept) + 1))
        assert {f.sequence: f.payload for f in stored[leg]}.items() <= phone.sent.items()
        # The last packets may still be under way when the call is closed, not more than that.
        asked, answered = talked.closing[leg]
        assert asked - 2 <= max(kept) < answered
        played = b"".join(frame.payload for frame in stored[f"service-{leg}"])
        assert played == PROMPT
    assert stand.door.fields("recording.gap") == []


async def test_call_is_kept_from_its_permit_on(tmp_path: Path) -> None:
    """Notice inside, nobody before it, every later packet once, spool empty, facts in order."""
    async with media_stand(tmp_path) as stand:
        async with talk(stand) as talked:
            await stand.record(talked.permit())
            await stand.record(talked.permit())
            await talked.caller.said(60)
            await close(talked)
        assert_kept(stand, talked)
        own = [one for one in talked.agent.heard if one.payload in talked.caller.sent.values()]
        assert len(own) > 50
        assert len({one.ssrc for one in talked.agent.heard}) == 1
        kinds = [fact.type for fact in stand.door.facts.values()]
        assert kinds == [
            "recording.started",
            "recording.stopped",
            "recording.stored",
            "recording.stored",
        ]
        assert not (tmp_path / "spool" / CALL).exists()
        final = stand.door.fields("recording.stored")[-1]
        manifest = (tmp_path / "objects" / final["manifest_key"]).read_bytes()
        assert hashlib.sha256(manifest).hexdigest() == final["manifest_sha256"]
        assert len(json.loads(manifest)["units"]) == final["unit_count"] == 4


async def test_killed_writer_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Kill -9 before the permit's frames are written, in mid-call, and again: nothing shows."""
    async with media_stand(tmp_path, ONRECORD_UNIT_SECONDS="0.5") as stand:
        async with talk(stand) as talked:
            await stand.record(talked.permit())
            for _ in range(3):
                await talked.caller.said(25)
                stand.kill("writer")
                stand.start("writer")
                await talked.caller.said(25)
            await stand.ready()
            await talked.caller.said(10)
            await close(talked)
        assert_kept(stand, talked)
        heard = [one.sequence for one in talked.agent.heard]
        # The relay was not interrupted: the numbers that the agent hears have no hole.
        assert {(b - a) % 65536 for a, b in pairwise(heard)} == {1}


async def test_without_a_permit_nothing_is_written_at_all(tmp_path: Path) -> None:
    """A call whose permit never came leaves no file, no object and no fact."""
    async with media_stand(tmp_path) as stand:
        async with talk(stand) as talked:
            await talked.caller.said(20)
            await stand.media.Close(pb.CloseRequest(call_id=CALL), timeout=5)
        assert not (tmp_path / "spool" / CALL).exists()
        assert not (tmp_path / "objects").exists()
        assert stand.door.facts == {}


async def test_bad_permits_open_nothing(tmp_path: Path) -> None:
    """Forged, expired, for another node, for no call, and used up: each is refused by name."""
    async with media_stand(tmp_path) as stand, talk(stand) as talked:
        good = talked.permit()
        now = utc_now()
        old = {"issued_at": now - timedelta(minutes=2), "not_after": now - timedelta(minutes=1)}
        forger = Ed25519PrivateKey.generate()
        denied, refused = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION
        for signed, status, reason in [
            (SignedPermit(good.payload, forger.sign(good.payload)), denied, "bad_signature"),
            (stand.permit(CALL, 1, **old), refused, "expired"),
            (stand.permit(CALL, 2, audience="media-2"), denied, "other_audience"),
            (stand.permit("another", 0), refused, "call_not_open"),
        ]:
            with pytest.raises(grpc.aio.AioRpcError, match=reason) as refusal:
                await stand.record(signed)
            assert refusal.value.code() == status
        await stand.record(good)
        pause = pb.PauseRequest(call_id=CALL, cause="card_data", actor_role="agent", actor="A1")
        await stand.media.Pause(pause, timeout=5)
        with pytest.raises(grpc.aio.AioRpcError, match="permit_used"):
            await stand.record(good)


async def test_pause_resume_and_stop_cut_exactly(tmp_path: Path) -> None:
    """What is said while paused or after the stop is not kept; the facts tell of each."""
    async with media_stand(tmp_path) as stand, talk(stand) as talked:
        await stand.record(talked.permit())
        await talked.caller.said(20)
        await stand.media.Pause(pb.PauseRequest(call_id=CALL, cause="card_data"), timeout=5)
        paused_at = talked.caller.sequence
        await talked.caller.said(20)
        resumed_at = talked.caller.sequence
        await stand.record(talked.permit(1))
        await talked.caller.said(20)
        await stand.media.Stop(pb.StopRequest(call_id=CALL, cause="objection"), timeout=5)
        stopped_at = talked.caller.sequence
        heard = len(talked.agent.heard)
        await talked.caller.said(20)
        assert len(talked.agent.heard) > heard
        await close(talked)
        kept = {frame.sequence for frame in stand.stored(CALL)["caller"]}
        assert not kept & set(range(paused_at, resumed_at))
        assert not {number for number in kept if number >= stopped_at}
        assert {number for number in kept if number > resumed_at + 5}
        kinds = [fact.type for fact in stand.door.facts.values()]
        assert [kind for kind in kinds if kind != "recording.stored"] == [
            "recording.started",
            "recording.paused",
            "recording.resumed",
            "recording.stopped",
        ]


async def test_killed_mover_is_a_named_gap(tmp_path: Path) -> None:
    """The call's recording ends with what the mover had put into the ring, and says so."""
    async with media_stand(tmp_path) as stand, talk(stand) as talked:
        await stand.record(talked.permit())
        await talked.caller.said(30)
        stand.kill("mover")
        await stand.final(CALL)
        gaps = stand.door.fields("recording.gap")
        assert {(gap["leg"], gap["cause"]) for gap in gaps} >= {("caller", "mover_lost")}
        assert len(stand.stored(CALL)["caller"]) > 20
        stand.start("mover")
        await stand.ready()


async def test_lost_signalling_seals_after_silence(tmp_path: Path) -> None:
    """A call that nobody renews is closed once its parties are silent, and stored."""
    times = {"ONRECORD_LEASE_SECONDS": "0.4", "ONRECORD_ORPHAN_SECONDS": "1"}
    async with media_stand(tmp_path, **times) as stand:
        async with talk(stand) as talked:
            await stand.record(talked.permit())
            await talked.caller.said(100)
            assert stand.door.fields("recording.stopped") == []
        await stand.final(CALL)
        assert [fact["cause"] for fact in stand.door.fields("recording.stopped")] == [
            "signalling_lost"
        ]


async def test_a_spool_left_over_is_stored_at_the_next_start(tmp_path: Path) -> None:
    """Mover and writer killed together: what was written is sealed and its end is named."""
    async with media_stand(tmp_path) as stand, talk(stand) as talked:
        await stand.record(talked.permit())
        await talked.caller.said(30)
        stand.kill("writer")
        stand.kill("mover")
        stand.start("mover")
        stand.start("writer")
        await stand.final(CALL)
        assert len(stand.stored(CALL)["caller"]) > 20
        gaps = stand.door.fields("recording.gap")
        assert ("caller", "recorder_lost") in {(gap["leg"], gap["cause"]) for gap in gaps}
        await stand.ready()
