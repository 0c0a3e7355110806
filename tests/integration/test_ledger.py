"""The consent ledger as a process on a real MongoDB server, through its door."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import bson
import grpc
import grpc.aio
import ledgers
import pytest
from ledgers import KEY, TIMEOUT, LedgerProcess, Stub, append, ask_permit, fact, told_call
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as pb
from onrecord.ledger import merkle
from onrecord.ledger.permit import ANY_AUDIENCE, Position, SignedPermit, verify
from onrecord.platform.facts import to_wire
from pymongo import MongoClient


@pytest.fixture
async def ledger(launch: Callable[..., LedgerProcess]) -> AsyncIterator[Stub]:
    """A client of a running ledger."""
    async with launch().stub() as stub:
        yield stub


@pytest.fixture
def documents(mongo: str) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Reads all documents of a collection of the ledger."""
    with MongoClient[dict[str, Any]](mongo) as client:
        yield lambda name: list(client["onrecord"][name].find())


async def test_a_recorded_call_from_first_fact_to_verdict(ledger: Stub) -> None:
    """Facts, permit, recording, end: one verdict with seconds, grade, and nothing out of order."""
    await append(ledger, told_call("c1"))
    answer = await ask_permit(ledger, "c1")
    permit = verify(
        SignedPermit(answer.granted.permit.payload, answer.granted.permit.signature),
        KEY.public_key(),
    )
    assert permit.legs == {
        "caller": Position(ssrc=7, sequence=65701, timestamp=36000),
        "agent": Position(ssrc=7, sequence=65701, timestamp=36000),
        "service-caller": None,
        "service-agent": None,
    }
    assert (permit.call, permit.permit_id, permit.pack) == ("c1", "c1:p0", "uk/1")
    assert permit.audience == "media-1" != ANY_AUDIENCE
    assert permit.entries == ("c1:notice.given:agent:0", "c1:notice.given:caller:0")
    assert (permit.not_after - permit.issued_at).total_seconds() == 30
    assert [key.key_ref for key in answer.granted.unit_keys] == [f"c1:p0/{n}" for n in range(240)]
    await append(
        ledger,
        [
            fact("c1", "recording.started", discriminator="c1:p0"),
            fact("c1", "call.ended"),
            ledgers.stored("c1", "c1:p0"),
        ],
    )
    assert await ledgers.verdict_of(ledger, "c1") == {
        "verdict": "recorded",
        "causes": [],
        "rule": "",
        "kept_seconds": {"caller": 57, "agent": 57},
        "weakest_grade": "B",
    }
    ledgers.assert_gapless(await ledgers.read_all(ledger))


async def test_a_repeated_permit_request_gives_identical_bytes(ledger: Stub) -> None:
    """Same permit id: same entry, same payload, same signature, same unit keys."""
    await append(ledger, told_call("c1"))
    first, *others = await asyncio.gather(*(ask_permit(ledger, "c1") for _ in range(8)))
    for other in others:
        assert other == first
    more = pb.UnitKeysRequest(permit=first.granted.permit, first=239, count=3)
    keys = await ledger.UnitKeys(more, timeout=TIMEOUT)
    assert keys == await ledger.UnitKeys(more, timeout=TIMEOUT)
    assert keys.unit_keys[0] == first.granted.unit_keys[239]
    assert len({key.key for key in (*first.granted.unit_keys, *keys.unit_keys)}) == 242


async def test_a_permit_waits_for_the_facts_it_relies_on(ledger: Stub) -> None:
    """What is not committed is named, nothing is entered, and the retry succeeds."""
    facts = told_call("c1")
    await append(ledger, facts[:3])
    code, text = await ledgers.refusal(ask_permit(ledger, "c1"))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert facts[3].event_id in text
    assert facts[4].event_id in text
    assert facts[2].event_id not in text
    assert len(await ledgers.read_all(ledger)) == 3
    await append(ledger, facts[3:])
    assert (await ask_permit(ledger, "c1")).HasField("granted")


async def test_a_refused_permit_is_an_entry_and_stays_refused(ledger: Stub) -> None:
    """An objection shuts the gate; the refusal is on record; a retry gives the same answer."""
    await append(ledger, [*told_call("c1"), fact("c1", "objection.made", discriminator="0")])
    answer = await ask_permit(ledger, "c1")
    assert answer.refused.reason == "objection"
    assert answer.entry.event_id == "c1:permit.refused:0"
    assert await ask_permit(ledger, "c1") == answer
    await append(ledger, [fact("c1", "call.ended", {"gate": "permit_refused"})])
    verdict = await ledgers.verdict_of(ledger, "c1")
    assert (verdict["verdict"], verdict["rule"]) == ("not_recorded", "objection")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "call.imagined"}, "c1:call.ended: type"),
        ({"type": "call.verdict"}, "c1:call.ended: type"),
        ({"fields_json": "{"}, "c1:call.ended: fields_json"),
        ({"fields_json": '{"cause": "x"}'}, "c1:call.ended: answered"),
        ({"stream": "recording/c1"}, "c1:call.ended: stream"),
        ({"call": "c2"}, "c1:call.ended: call"),
        ({"time": "now"}, "c1:call.ended: time"),
    ],
)
async def test_a_bad_event_is_refused_by_name(
    ledger: Stub, change: dict[str, str], says: str
) -> None:
    """The refusal names the event and the field, and nothing of the request is entered."""
    good, bad = to_wire(fact("c1", "call.started")), to_wire(fact("c1", "call.ended"))
    for name, value in change.items():
        setattr(bad, name, value)
    request = pb.AppendRequest(events=[good, bad])
    code, text = await ledgers.refusal(ledger.Append(request, timeout=TIMEOUT, wait_for_ready=True))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert says in text
    assert not await ledgers.read_all(ledger)


async def test_access_is_entered_before_anything_is_opened(ledger: Stub) -> None:
    """Personal values and audio keys come only behind an entry that names person and purpose."""
    await append(ledger, told_call("c1"))
    granted = (await ask_permit(ledger, "c1")).granted
    await append(ledger, [ledgers.stored("c1", "c1:p0")])
    who = {"person": "j.doe", "role": "supervisor", "purpose": "quality"}
    opened = await ledger.Open(
        pb.OpenRequest(fields=pb.OpenFields(event_ids=["c1:call.started"]), request_id="r1", **who),
        timeout=TIMEOUT,
    )
    assert json.loads(opened.fields[0].fields_json)["caller_number"] == ledgers.CANARY
    audio = pb.OpenRequest(
        audio=pb.OpenAudio(call_id="c1", legs=["agent"], format="wav"), request_id="r2", **who
    )
    keys = (await ledger.Open(audio, timeout=TIMEOUT)).unit_keys
    assert list(keys) == [granted.unit_keys[1]]
    entries = await ledgers.read(ledger, pb.ReadRequest(stream="recording/c1"))
    assert [(e["type"], e["fields"]["purpose"]) for e in entries] == [
        ("fields.opened", "quality"),
        ("access.granted", "quality"),
    ]
    assert "j.doe" not in json.dumps(entries)
    assert entries[0]["fields"]["pseudonym"] == entries[1]["fields"]["pseudonym"]


async def test_opening_is_bound_to_purpose_and_request(ledger: Stub) -> None:
    """Another purpose is denied, a used request id opens nothing else, nobody stays nameless."""
    await append(ledger, told_call("c1"))
    await ask_permit(ledger, "c1")
    await append(ledger, [ledgers.stored("c1", "c1:p0")])
    who = {"person": "j.doe", "role": "supervisor"}
    audio = pb.OpenAudio(call_id="c1", format="wav")

    async def ask(**fields: Any) -> tuple[grpc.StatusCode, str]:
        return await ledgers.refusal(ledger.Open(pb.OpenRequest(**fields), timeout=TIMEOUT))

    code, _ = await ask(audio=audio, request_id="r1", purpose="training", **who)
    assert code == grpc.StatusCode.PERMISSION_DENIED
    code, _ = await ask(audio=audio, request_id="r1", purpose="quality", role="supervisor")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    code, _ = await ask(
        audio=pb.OpenAudio(call_id="c2", format="wav"), request_id="r", purpose="quality", **who
    )
    assert code == grpc.StatusCode.NOT_FOUND
    narrow = pb.OpenAudio(call_id="c1", legs=["caller"], format="wav")
    request = pb.OpenRequest(audio=narrow, request_id="r1", purpose="quality", **who)
    assert len((await ledger.Open(request, timeout=TIMEOUT)).unit_keys) == 1
    code, text = await ask(audio=audio, request_id="r1", purpose="quality", **who)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "r1" in text


async def test_a_permit_that_is_not_ours_gives_no_keys(ledger: Stub) -> None:
    """Unit keys come only for a permit with this ledger's signature."""
    await append(ledger, told_call("c1"))
    permit = (await ask_permit(ledger, "c1")).granted.permit
    forged = pb.Permit(payload=permit.payload.replace(b"c1:p0", b"c1:p1"), signature=b"x" * 64)
    request = pb.UnitKeysRequest(permit=forged, first=0, count=1)
    code, _ = await ledgers.refusal(ledger.UnitKeys(request, timeout=TIMEOUT))
    assert code == grpc.StatusCode.PERMISSION_DENIED


async def test_a_permit_gives_no_keys_once_all_is_stored(ledger: Stub) -> None:
    """The store's manifest holds the permit: from then on keys come only behind an access entry."""
    await append(ledger, told_call("c1"))
    granted = (await ask_permit(ledger, "c1")).granted
    await append(ledger, [fact("c1", "recording.started", discriminator="c1:p0")])
    request = pb.UnitKeysRequest(permit=granted.permit, first=0, count=1)
    some = ledgers.stored("c1", "c1:p0", final=False)
    await append(ledger, [some, fact("c1", "call.ended")])
    assert (await ledger.UnitKeys(request, timeout=TIMEOUT)).unit_keys == granted.unit_keys[:1]
    final = {"units": [], "final": True, "unit_count": 2}
    await append(ledger, [fact("c1", "recording.stored", final, "final")])
    for ask in (
        lambda: ledger.UnitKeys(request, timeout=TIMEOUT),
        lambda: ask_permit(ledger, "c1"),
    ):
        code, text = await ledgers.refusal(ask())
        assert code == grpc.StatusCode.FAILED_PRECONDITION
        assert "recording_complete" in text
    opened = pb.OpenRequest(
        audio=pb.OpenAudio(call_id="c1", format="wav"),
        request_id="r1",
        person="j.doe",
        role="supervisor",
        purpose="quality",
    )
    keys = (await ledger.Open(opened, timeout=TIMEOUT)).unit_keys
    assert list(keys) == list(granted.unit_keys[:2])


async def test_sealed_values_stand_nowhere_in_clear(
    ledger: Stub, documents: Callable[[str], list[dict[str, Any]]]
) -> None:
    """A number given to the ledger is in no entry, and each leaf is its entry's hash."""
    await append(ledger, told_call("c1"))
    await ledger.Open(
        pb.OpenRequest(
            fields=pb.OpenFields(event_ids=["c1:call.started"]),
            request_id="r1",
            person=ledgers.CANARY,
            role="supervisor",
            purpose="quality",
        ),
        timeout=TIMEOUT,
    )
    entries = documents("entries")
    assert len(entries) == 6
    for entry in entries:
        assert ledgers.CANARY.encode() not in bson.encode(entry)
        assert merkle.leaf_hash(entry["canonical"]) == entry["leaf"]
    secrets = documents("secrets")
    assert {"call/c1/caller", "recording/c1/person"} <= {one["_id"] for one in secrets}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            [
                fact("c1", "call.started", {"kind": "emergency"}),
                fact("c1", "call.ended", {"gate": "not_asked"}),
            ],
            {"verdict": "not_recorded", "rule": "emergency"},
        ),
        (
            [
                fact("c1", "call.started", {"kind": "unrecorded", "route": "private"}),
                fact("c1", "call.ended", {"gate": "not_asked"}),
            ],
            {"verdict": "not_recorded", "rule": "route/private"},
        ),
        (
            [*told_call("c1")[:3], fact("c1", "call.ended", {"gate": "announcement_unavailable"})],
            {"verdict": "failed", "causes": ["announcement_unavailable"]},
        ),
    ],
    ids=["emergency", "unrecorded", "no notice"],
)
async def test_every_answered_call_gets_its_verdict(
    ledger: Stub, facts: list[Any], expected: dict[str, Any]
) -> None:
    """The verdict names the rule, or what failed."""
    await append(ledger, facts)
    verdict = await ledgers.verdict_of(ledger, "c1")
    assert {name: verdict[name] for name in expected} == expected


async def test_paging_reads_the_log_and_a_stream(ledger: Stub) -> None:
    """Read gives entries in order from an index or of one stream, as many as asked."""
    await append(ledger, [*told_call("c1"), *told_call("c2")])
    assert [e["index"] for e in await ledgers.read(ledger, pb.ReadRequest(index=8))] == [8, 9]
    limited = await ledgers.read(ledger, pb.ReadRequest(stream="call/c2", limit=2))
    assert [(e["call"], e["seq"]) for e in limited] == [("c2", 0), ("c2", 1)]
    code, _ = await ledgers.refusal(ledgers.read(ledger, pb.ReadRequest(index=0, limit=1001)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
