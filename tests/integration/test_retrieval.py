"""The retrieval service behind its real door: real index, real stored units, a ledger's door."""

from __future__ import annotations

import hashlib
import io
import json
import random
import secrets
import wave
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import rfc8785
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger_pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as ledger_rpc
from onrecord.api.retrieval.v1 import retrieval_pb2 as pb
from onrecord.api.retrieval.v1 import retrieval_pb2_grpc as stubs
from onrecord.contracts.entry import Entry
from onrecord.platform.grpc import ErrorMapping
from onrecord.platform.kafka import Subscription
from onrecord.platform.lifecycle import Chassis
from onrecord.platform.objects import open_store
from onrecord.retrieval.adapters import ledger as ledger_module
from onrecord.retrieval.adapters.ledger import Ledger as LedgerClient
from onrecord.retrieval.service import build
from onrecord.retrieval.settings import RetrievalSettings
from onrecord.rtp import g711
from onrecord.rtp.storage.sealing import seal
from onrecord.rtp.storage.unit import Frame, UnitHeader, encode_unit
from unit.retrieval.factories import a_recorded_call, a_unit_row, an_entry, frames, moment

DEADLINE = 20


class Ledger(ledger_rpc.LedgerServicer):
    """Commits accesses before it gives keys; reads streams by pages of `page` entries."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.keys: dict[str, bytes] = {}
        self.accesses: list[ledger_pb.OpenRequest] = []
        self.refuse: grpc.StatusCode | None = None
        self.page = 1000

    async def Open(  # noqa: N802  # named by the .proto
        self,
        request: ledger_pb.OpenRequest,
        context: grpc.aio.ServicerContext[ledger_pb.OpenRequest, ledger_pb.OpenResponse],
    ) -> ledger_pb.OpenResponse:
        """Note who asks, then give every key of the call."""
        if self.refuse:
            await context.abort(self.refuse, "by the test", (("reason", "test"),))
        self.accesses.append(request)
        return ledger_pb.OpenResponse(
            entry=ledger_pb.Committed(event_id=f"access:{request.request_id}"),
            unit_keys=[
                ledger_pb.UnitKey(key_ref=key_ref, key=key) for key_ref, key in self.keys.items()
            ],
        )

    async def Read(  # noqa: N802
        self,
        request: ledger_pb.ReadRequest,
        context: grpc.aio.ServicerContext[ledger_pb.ReadRequest, ledger_pb.ReadResponse],
    ) -> AsyncIterator[ledger_pb.ReadResponse]:
        """One page of a stream, or of the log from an index on."""
        if request.WhichOneof("from") == "stream":
            stream = [entry for entry in self.log if entry.stream == request.stream]
            found = [entry for entry in stream if entry.seq >= request.from_seq]
        else:
            found = [entry for entry in self.log if entry.index >= request.index]
        for entry in found[: self.page]:
            yield ledger_pb.ReadResponse(index=entry.index, canonical=canonical(entry))


def canonical(entry: Entry) -> bytes:
    """The entry's canonical bytes, without commitments."""
    names = ("index", "event_id", "type", "stream", "seq", "call", "time", "recorded_at", "fields")
    return rfc8785.dumps({name: getattr(entry, name) for name in names} | {"sealed": {}})


@dataclass
class Scene:
    """The service under test, its ledger and the folder of stored objects."""

    folder: Path
    ledger: Ledger = field(default_factory=Ledger)
    stub: stubs.RetrievalAsyncStub | None = None
    subscription: Subscription | None = None
    ledger_channel: grpc.aio.Channel | None = None

    async def store(
        self,
        call: str,
        leg: str,
        k: int,
        kept: Sequence[Frame],
        inside: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Seal a unit as the recorder does, put it into the store, and say what its entry says.

        `inside` changes what the unit's own header says.
        """
        header = UnitHeader(call, leg, 5, k, "PCMU", 8000, f"{call}:p0", moment(0))
        header = replace(header, **(inside or {}))
        key, object_key = secrets.token_bytes(32), f"{call}/{leg}/5-{k}"
        random_bytes = {"salt": secrets.token_bytes(32), "nonce_prefix": secrets.token_bytes(7)}
        sealed = seal(encode_unit(header, kept), key, object_key.encode(), **random_bytes)
        digest = hashlib.sha256(sealed).hexdigest()
        await open_store(str(self.folder)).put_new(object_key, sealed, digest)
        row = a_unit_row(call, leg, k, sha256=digest)
        self.ledger.keys[row["key_ref"]] = key
        return row

    async def deliver(self, entries: Sequence[Entry]) -> None:
        """Bring entries as the bus does."""
        assert self.subscription is not None
        for entry in entries:
            await self.subscription.handler(entry)

    async def listen(self, **changes: str) -> bytes:
        """The audio of call c1, as `onrecord play` asks for it."""
        asked = {
            "call_id": "c1",
            "purpose": "quality",
            "person": "j.doe",
            "role": "supervisor",
            "request_id": "r1",
        }
        assert self.stub is not None
        request = pb.StreamAudioRequest(**(asked | changes))
        pieces = [piece.data async for piece in self.stub.StreamAudio(request, timeout=DEADLINE)]
        assert max(map(len, pieces)) <= 64 * 1024
        return b"".join(pieces)


@pytest.fixture
async def scene(mongo: str, tmp_path: Path) -> AsyncIterator[Scene]:
    """The composed service on a loopback port, with an empty index."""
    made = Scene(tmp_path / "objects")
    neighbour = grpc.aio.server()
    ledger_rpc.add_LedgerServicer_to_server(made.ledger, neighbour)
    address = f"127.0.0.1:{neighbour.add_insecure_port('127.0.0.1:0')}"
    await neighbour.start()
    settings = RetrievalSettings(ledger=address, mongo=mongo, objects=str(made.folder))
    chassis = Chassis("retrieval", settings)
    service = build(settings, chassis)
    (made.subscription,) = service.subscriptions
    server = grpc.aio.server(interceptors=[ErrorMapping()])
    for add, servicer, _ in service.rpc:
        add(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    made.ledger_channel = chassis.channel(address)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        made.stub = stubs.RetrievalStub(channel)
        yield made
    await server.stop(0)
    await service.stop()
    await chassis.close()
    await neighbour.stop(0)


def speech(seed: int, packets: int) -> list[bytes]:
    """Payloads that differ."""
    chance = random.Random(seed)  # noqa: S311  # test audio
    return [chance.randbytes(160) for _ in range(packets)]


async def a_kept_call(scene: Scene, packets: int = 100) -> list[dict[str, Any]]:
    """Call c1 with both parties' speech stored, told to the index; returns what the entry lists."""
    rows = [
        await scene.store("c1", "caller", 0, frames(speech(1, packets), ssrc=1)),
        await scene.store("c1", "agent", 0, frames(speech(2, packets), ssrc=2)),
    ]
    await scene.deliver(a_recorded_call(rows=rows))
    return rows


async def refusal(scene: Scene, **changes: str) -> tuple[grpc.StatusCode, str]:
    """How a request for audio is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await scene.listen(**changes)
    return refused.value.code(), refused.value.details() or ""


async def test_the_audio_is_what_was_said_left_the_caller_right_the_agent(scene: Scene) -> None:
    """Sealed, stored, opened, verified and decoded: bit for bit."""
    await a_kept_call(scene, packets=300)
    with wave.open(io.BytesIO(await scene.listen())) as reader:
        assert reader.getparams()[:4] == (2, 2, 8000, 48_000)
        stereo = np.frombuffer(reader.readframes(48_000), "<i2").reshape(-1, 2)
    for channel, seed in ((0, 1), (1, 2)):
        said = g711.decode("PCMU", b"".join(speech(seed, 300)))
        assert stereo[:, channel].tobytes() == said.tobytes()


async def test_the_access_names_person_purpose_and_request(scene: Scene) -> None:
    """I8: what the ledger is asked to commit before it gives a key."""
    await a_kept_call(scene)
    await scene.listen()
    (access,) = scene.ledger.accesses
    assert (access.person, access.role, access.purpose) == ("j.doe", "supervisor", "quality")
    assert (access.audio.call_id, access.audio.format, access.request_id) == ("c1", "wav", "r1")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.PERMISSION_DENIED),
        (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.FAILED_PRECONDITION),
        (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
        (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_without_the_access_entry_there_is_no_audio(
    scene: Scene, status: grpc.StatusCode, expected: grpc.StatusCode
) -> None:
    """Whatever the ledger's reason is, nothing is released."""
    await a_kept_call(scene)
    scene.ledger.refuse = status
    code, details = await refusal(scene)
    assert (code, "by the test" in details) == (expected, True)


async def test_a_purpose_that_was_not_told_is_refused(scene: Scene) -> None:
    """INVALID_ARGUMENT says which purposes the parties were told of."""
    await a_kept_call(scene)
    code, details = await refusal(scene, purpose="disputes")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "only of: quality, training" in details
    assert scene.ledger.accesses == []


@pytest.mark.parametrize("name", ["person", "purpose", "role", "request_id", "call_id"])
async def test_every_field_of_an_access_is_needed(scene: Scene, name: str) -> None:
    """Nobody listens without a name, nor for nothing."""
    assert (await refusal(scene, **{name: " "}))[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert (await refusal(scene, **{name: "x" * 300}))[0] == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_unknown_call_and_one_without_audio_are_told_apart(scene: Scene) -> None:
    """NOT_FOUND, and FAILED_PRECONDITION that names the verdict."""
    verdict = an_entry("c1", 0, "call.verdict", verdict="not_recorded", rule="emergency")
    await scene.deliver([verdict])
    assert (await refusal(scene, call_id="c2"))[0] == grpc.StatusCode.NOT_FOUND
    code, details = await refusal(scene)
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "not_recorded (emergency)" in details


async def test_an_object_that_was_altered_or_lost_is_named(scene: Scene) -> None:
    """DATA_LOSS with the unit's key."""
    rows = await a_kept_call(scene)
    path = scene.folder / rows[0]["object_key"]
    sealed = bytearray(path.read_bytes())
    sealed[100] ^= 1
    path.unlink()
    path.write_bytes(sealed)
    code, details = await refusal(scene)
    assert code == grpc.StatusCode.DATA_LOSS
    assert details.startswith(f"object_altered: {rows[0]['object_key']}")
    path.unlink()
    code, details = await refusal(scene)
    assert code == grpc.StatusCode.DATA_LOSS
    assert details.startswith(f"object_missing: {rows[0]['object_key']}")


@pytest.mark.parametrize("change", [{"call": "c2"}, {"leg": "agent"}, {"epoch": 6}, {"k": 1}])
async def test_a_unit_that_holds_another_is_damaged(scene: Scene, change: dict[str, Any]) -> None:
    """What is inside must be what the name says."""
    row = await scene.store("c1", "caller", 0, frames(speech(1, 10)), change)
    await scene.deliver(a_recorded_call(rows=[row]))
    code, details = await refusal(scene)
    assert code == grpc.StatusCode.DATA_LOSS
    assert details.startswith("object_swapped: c1/caller/5-0")


async def test_a_codec_that_cannot_be_rendered_is_refused(scene: Scene) -> None:
    """Silence would be a lie."""
    row = await scene.store("c1", "caller", 0, frames(speech(1, 10)), {"codec": "G722"})
    await scene.deliver(a_recorded_call(rows=[row]))
    code, details = await refusal(scene)
    assert (code, "G722" in details) == (grpc.StatusCode.FAILED_PRECONDITION, True)


async def test_an_object_under_anothers_name_or_key_is_damaged(scene: Scene) -> None:
    """A right hash does not help: the object's name is sealed into it."""
    row = await scene.store("c2", "caller", 0, frames(speech(1, 10)))
    sealed = (scene.folder / row["object_key"]).read_bytes()
    stolen = a_unit_row("c1", "caller", sha256=row["sha256"], key_ref=row["key_ref"])
    await open_store(str(scene.folder)).put_new(stolen["object_key"], sealed, row["sha256"])
    await scene.deliver(a_recorded_call(rows=[stolen]))
    assert (await refusal(scene))[0] == grpc.StatusCode.DATA_LOSS


async def test_a_call_is_shown_with_its_timeline(scene: Scene) -> None:
    """Every fact in order, open fields as JSON, sealed ones by name."""
    await scene.deliver(a_recorded_call())
    assert scene.stub is not None
    shown = await scene.stub.Get(pb.GetRequest(call_id="c1"), timeout=DEADLINE)
    assert (shown.call.verdict, shown.call.kept_seconds) == ("recorded", 57.0)
    assert [fact.seq for fact in shown.timeline] == list(range(9))
    assert json.loads(shown.timeline[0].fields_json)["line"] == "main"
    assert list(shown.timeline[0].sealed) == ["caller_number"]
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await scene.stub.Get(pb.GetRequest(call_id="c2"), timeout=DEADLINE)
    assert missing.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_search_leads_through_all_its_pages(scene: Scene) -> None:
    """Newest first; the last page has no token."""
    for n in range(5):
        started = an_entry(f"c{n}", 0, "call.started", direction="inbound", line="main")
        await scene.deliver([replace(started, time=moment(n))])
    assert scene.stub is not None
    found: list[str] = []
    sizes: list[int] = []
    token = ""
    while True:
        # `from` is a word of Python's.
        request = pb.SearchRequest(
            **{"from": "2026-11-23T13:00:01+01:00"}, page_size=2, page_token=token
        )
        page = await scene.stub.Search(request, timeout=DEADLINE)
        found += [call.call_id for call in page.calls]
        sizes.append(len(page.calls))
        token = page.next_page_token
        if not token:
            break
    assert (found, sizes) == (["c4", "c3", "c2", "c1"], [2, 2])


@pytest.mark.parametrize(
    ("request_fields", "reason"),
    [
        ({"from": "yesterday"}, "bad_time"),
        ({"to": "2026-11-23T12:00:00"}, "bad_time"),
        ({"verdict": "splendid"}, "bad_verdict"),
        ({"page_size": 501}, "page_too_large"),
        ({"page_token": "made up"}, "bad_page_token"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(
    scene: Scene, request_fields: dict[str, Any], reason: str
) -> None:
    """INVALID_ARGUMENT with a closed reason and a sentence that says what is right."""
    assert scene.stub is not None
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await scene.stub.Search(pb.SearchRequest(**request_fields), timeout=DEADLINE)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.value.details() or "").startswith(f"{reason}: ")


async def test_a_gap_is_filled_from_the_ledgers_door(scene: Scene) -> None:
    """Only the last entry came by the bus; the timeline is whole."""
    entries = a_recorded_call()
    scene.ledger.log = entries
    await scene.deliver(entries[-1:])
    assert scene.stub is not None
    shown = await scene.stub.Get(pb.GetRequest(call_id="c1"), timeout=DEADLINE)
    assert [fact.event_id for fact in shown.timeline] == [entry.event_id for entry in entries]


async def test_a_stream_longer_than_a_page_is_read_to_its_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first page does not hold is asked for in further ones."""
    monkeypatch.setattr(ledger_module, "PAGE", 4)
    scene.ledger.page = 4
    mine, other = a_recorded_call("c1"), a_recorded_call("c2")
    mixed = [entry for pair in zip(mine, other, strict=True) for entry in pair]
    scene.ledger.log = [replace(entry, index=n) for n, entry in enumerate(mixed)]
    assert scene.ledger_channel is not None
    found = await LedgerClient(scene.ledger_channel).read("call/c1", 0)
    assert [entry.seq for entry in found] == list(range(9))
