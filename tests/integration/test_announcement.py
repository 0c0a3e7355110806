"""The announcement service behind its real door, between a recorder's door and a ledger's."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import shutil
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import numpy as np
import pytest
from onrecord.announcement.service import build
from onrecord.announcement.settings import SHIPPED_PROMPTS, AnnouncementSettings
from onrecord.api.announcement.v1 import announcement_pb2 as pb
from onrecord.api.announcement.v1 import announcement_pb2_grpc as stubs
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger_pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as ledger_rpc
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as media_pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2_grpc as media_rpc
from onrecord.contracts.events import NoticeFailed, NoticeGiven
from onrecord.platform.grpc import ErrorMapping
from onrecord.platform.lifecycle import Chassis
from onrecord.rtp import g711

DEADLINE = 20


class Recorder(media_rpc.MediaServicer):
    """Plays in no time and reports truly, except for what a test changes."""

    def __init__(self) -> None:
        self.wavs: dict[str, bytes] = {}
        self.status: grpc.StatusCode | None = None
        self.codec = "PCMU"
        self.sent = 1.0
        self.together = asyncio.Barrier(2)

    async def Play(  # noqa: N802  # named by the .proto
        self,
        request: media_pb.PlayRequest,
        context: grpc.aio.ServicerContext[media_pb.PlayRequest, media_pb.PlayResponse],
    ) -> media_pb.PlayResponse:
        """Encode the prompt as a recorder does, and say what went out."""
        assert hashlib.sha256(request.prompt_wav).digest() == request.prompt_sha256
        async with asyncio.timeout(DEADLINE):
            await self.together.wait()
        if self.status:
            await context.abort(self.status, "by the test")
        self.wavs[request.leg] = request.prompt_wav
        payload = g711.encode(self.codec, _samples(request.prompt_wav))
        sent = payload[: int(len(payload) * self.sent) // 160 * 160]
        return media_pb.PlayResponse(
            report=media_pb.PlayReport(
                notice_id=request.notice_id,
                leg=request.leg,
                complete=len(sent) == len(payload),
                reason="" if len(sent) == len(payload) else "leg_closed",
                ssrc=7,
                first_sequence=1000,
                last_sequence=1000 + len(sent) // 160 - 1,
                packets=len(sent) // 160,
                octets=len(sent),
                payload_sha256=hashlib.sha256(sent).digest(),
                received=ledger_pb.Position(ssrc=9, sequence=70000, timestamp=5),
                started_at="2026-11-23T12:00:00.000000Z",
                ended_at="2026-11-23T12:00:05.000000Z",
            )
        )


class Ledger(ledger_rpc.LedgerServicer):
    """Keeps facts by event id; refuses the first `down` requests."""

    def __init__(self) -> None:
        self.facts: dict[str, ledger_pb.Event] = {}
        self.down = 0

    async def Append(  # noqa: N802
        self,
        request: ledger_pb.AppendRequest,
        context: grpc.aio.ServicerContext[ledger_pb.AppendRequest, ledger_pb.AppendResponse],
    ) -> ledger_pb.AppendResponse:
        """Commit each event once."""
        if self.down:
            self.down -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        for event in request.events:
            self.facts.setdefault(event.event_id, event)
        return ledger_pb.AppendResponse(
            entries=[ledger_pb.Committed(event_id=event.event_id) for event in request.events]
        )


@dataclass
class Scene:
    """The service under test and its two neighbours."""

    recorder: Recorder = field(default_factory=Recorder)
    ledger: Ledger = field(default_factory=Ledger)
    address: str = ""
    stub: stubs.AnnouncementAsyncStub | None = None

    async def announce(self, **changes: object) -> pb.AnnounceResponse:
        """Announce to both parties, as signalling does."""
        asked: dict[str, object] = {
            "call_id": "c1",
            "media_address": self.address,
            "obligations": [an_obligation("caller"), an_obligation("agent")],
        }
        assert self.stub is not None
        request = pb.AnnounceRequest(**(asked | changes))  # type: ignore[arg-type]
        reply: pb.AnnounceResponse = await self.stub.Announce(request, timeout=DEADLINE)
        return reply


def an_obligation(party: str, **changes: object) -> pb.Obligation:
    """What the UK pack owes to a party of a call that is recorded for quality."""
    owed: dict[str, object] = {
        "party": party,
        "leg": party,
        "method": "prompt",
        "language": "en-GB",
        "acts": ["recorded"],
        "purposes": ["quality"],
    }
    return pb.Obligation(**(owed | changes))  # type: ignore[arg-type]


def _samples(wav: bytes) -> g711.Samples:
    with wave.open(io.BytesIO(wav)) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2").astype(np.int16)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """The composed service on a loopback port, with a recorder and a ledger on another."""
    made = Scene()
    neighbours = grpc.aio.server()
    media_rpc.add_MediaServicer_to_server(made.recorder, neighbours)
    ledger_rpc.add_LedgerServicer_to_server(made.ledger, neighbours)
    made.address = f"127.0.0.1:{neighbours.add_insecure_port('127.0.0.1:0')}"
    await neighbours.start()
    settings = AnnouncementSettings(ledger=made.address)
    chassis = Chassis("announcement", settings)
    service = build(settings, chassis)
    server = grpc.aio.server(interceptors=[ErrorMapping()])
    for add, servicer, _ in service.rpc:
        add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        made.stub = stubs.AnnouncementStub(channel)
        yield made
    await server.stop(0)
    await service.stop()
    await chassis.close()
    await neighbours.stop(0)


async def test_both_parties_are_told_and_the_facts_are_committed(scene: Scene) -> None:
    """Grade B on both legs, facts that fit their schema, the received positions in the reply."""
    reply = await scene.announce()
    assert [(r.party, r.given, r.grade, r.received.sequence) for r in reply.results] == [
        ("caller", True, "B", 70000),
        ("agent", True, "B", 70000),
    ]
    assert [r.event_id for r in reply.results] == [
        "c1:notice.given:caller:0",
        "c1:notice.given:agent:0",
    ]
    fact = NoticeGiven.model_validate_json(
        scene.ledger.facts[reply.results[0].event_id].fields_json
    )
    assert fact.prompt_sha256 == hashlib.sha256(scene.recorder.wavs["caller"]).hexdigest()
    assert fact.span.octets == len(_samples(scene.recorder.wavs["caller"]))


async def test_a_leg_in_a_law_is_told_as_well(scene: Scene) -> None:
    """The recorder encodes to the leg's codec; both digests are known."""
    scene.recorder.codec = "PCMA"
    assert [result.given for result in (await scene.announce()).results] == [True, True]


async def test_a_prompt_cut_short_is_a_failed_notice(scene: Scene) -> None:
    """The player died half-way: the fact says so and there is no grade."""
    scene.recorder.sent = 0.5
    reply = await scene.announce()
    assert [(r.given, r.grade, r.reason) for r in reply.results] == [(False, "", "leg_closed")] * 2
    failed = scene.ledger.facts["c1:notice.failed:agent:0"]
    fact = NoticeFailed.model_validate_json(failed.fields_json)
    assert fact.span is not None
    assert fact.span.octets < len(_samples(scene.recorder.wavs["agent"]))


async def test_a_recorder_that_refuses_is_a_failed_notice(scene: Scene) -> None:
    """A call that the recorder does not know any more."""
    scene.recorder.status = grpc.StatusCode.NOT_FOUND
    reply = await scene.announce()
    assert {result.reason for result in reply.results} == {"call_unknown_to_media"}


async def test_a_recorder_that_is_gone_is_a_failed_notice(scene: Scene) -> None:
    """Nobody listens at the media address."""
    reply = await scene.announce(media_address="127.0.0.1:1")
    assert {result.reason for result in reply.results} == {"media_unavailable"}


async def test_the_reply_waits_for_a_ledger_that_comes_back(scene: Scene) -> None:
    """A short outage delays the reply; the notices stand, each once."""
    scene.ledger.down = 3
    reply = await scene.announce()
    assert all(result.given for result in reply.results)
    assert sorted(scene.ledger.facts) == [
        "c1:notice.given:agent:0",
        "c1:notice.given:caller:0",
    ]


async def test_a_language_without_a_prompt_is_a_failed_notice(scene: Scene) -> None:
    """Nothing is played in its place."""
    owed = an_obligation("caller", language="cy-GB")
    (result,) = (await scene.announce(obligations=[owed])).results
    assert (result.given, result.reason) == (False, "no_prompt_in_language")
    assert scene.recorder.wavs == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"call_id": ""}, "bad_call_id"),
        ({"call_id": "x" * 65}, "bad_call_id"),
        ({"media_address": "nowhere"}, "bad_media_address"),
        ({"obligations": []}, "bad_obligations"),
        ({"obligations": [an_obligation("caller")] * 2}, "bad_obligations"),
        ({"obligations": [an_obligation("caller", leg="service-caller")]}, "bad_obligation"),
        ({"obligations": [an_obligation("caller", leg="agent")]}, "bad_obligation"),
        ({"obligations": [an_obligation("caller", acts=["whispered"])]}, "bad_obligation"),
        ({"obligations": [an_obligation("caller", purposes=["fun"])]}, "bad_obligation"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    scene: Scene, changes: dict[str, object], reason: str
) -> None:
    """INVALID_ARGUMENT with a closed reason and a sentence; nothing is played or entered."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await scene.announce(**changes)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.value.details() or "").startswith(f"{reason}: ")
    assert scene.ledger.facts == {}


async def test_the_approved_prompts_are_listed(scene: Scene) -> None:
    """With the words, what they say, and the digest of the audio."""
    assert scene.stub is not None
    reply = await scene.stub.Prompts(pb.PromptsRequest(), timeout=DEADLINE)
    assert {prompt.party for prompt in reply.prompts} == {"caller", "agent"}
    for prompt in reply.prompts:
        wav = (SHIPPED_PROMPTS / f"{prompt.id}.{prompt.version}.{prompt.language}.wav").read_bytes()
        assert prompt.sha256 == hashlib.sha256(wav).digest()
        assert prompt.length_ms == len(_samples(wav)) * 1000 // 8000


def test_the_process_does_not_start_with_an_altered_prompt(tmp_path: Path) -> None:
    """It names the prompt and the file, and exits with an error, before it takes any call."""
    folder = Path(shutil.copytree(SHIPPED_PROMPTS, tmp_path / "prompts"))
    (folder / "recorded-agent.1.en-GB.wav").write_bytes(b"RIFF")
    ended = subprocess.run(
        [sys.executable, "-m", "onrecord.announcement"],
        env={**os.environ, "ONRECORD_LEDGER": "127.0.0.1:1", "ONRECORD_PROMPTS": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "recorded-agent" in ended.stderr
    assert "not the approved audio" in ended.stderr
