"""The consent ledger as a process on a real MongoDB server, through its door."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
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
from onrecord.platform.facts import append as append_until_definite
from onrecord.platform.facts import to_wire
from pymongo import MongoClient

Launch = Callable[..., LedgerProcess]


@pytest.fixture
def launch(mongo: str, tmp_path: Path, ports: Callable[[], int]) -> Iterator[Launch]:
    """Starts ledgers on one empty database; they end with the test."""
    started: list[LedgerProcess] = []

    def start(**settings: str) -> LedgerProcess:
        ledger = LedgerProcess(tmp_path, ports(), ports(), mongo, **settings)
        started.append(ledger)
        ledger.start()
        return ledger

    yield start
    for ledger in started:
        ledger.stop()


@pytest.fixture
async def ledger(launch: Launch) -> AsyncIterator[Stub]:
    """A client of a running ledger."""
    async with launch().stub() as stub:
        yield stub


@pytest.fixture
def documents(mongo: str) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Reads all documents of a collection of the ledger."""
    with MongoClient[dict[str, Any]](mongo) as client:
        yield lambda name: list(client["onrecord"][name].find())


async def verdict_of(ledger: Stub, call: str) -> dict[str, Any]:
    """Wait for the call's verdict."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            entries = await ledgers.read(ledger, pb.ReadRequest(stream=f"call/{call}"))
            found = [entry for entry in entries if entry["type"] == "call.verdict"]
            if found:
                assert len(found) == 1
                return dict(found[0]["fields"])
            await asyncio.sleep(0.05)  # The log can only be asked.


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    """The status and text with which an RPC is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


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
    assert await verdict_of(ledger, "c1") == {
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
    code, text = await refusal(ask_permit(ledger, "c1"))
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
    verdict = await verdict_of(ledger, "c1")
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
    code, text = await refusal(ledger.Append(request, timeout=TIMEOUT, wait_for_ready=True))
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
        return await refusal(ledger.Open(pb.OpenRequest(**fields), timeout=TIMEOUT))

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
    code, _ = await refusal(ledger.UnitKeys(request, timeout=TIMEOUT))
    assert code == grpc.StatusCode.PERMISSION_DENIED


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
    verdict = await verdict_of(ledger, "c1")
    assert {name: verdict[name] for name in expected} == expected


async def test_a_silent_worker_does_not_leave_a_call_open(launch: Launch) -> None:
    """A call that nobody names any more is judged without its end; a named one is not."""
    async with launch(keepalive_silence="2").stub() as ledger:
        await append(ledger, [*told_call("kept"), *told_call("lost")])
        naming = asyncio.create_task(keep_alive(ledger, ["kept"]))
        verdict = await verdict_of(ledger, "lost")
        assert (verdict["verdict"], verdict["causes"]) == ("failed", ["signalling_lost"])
        kept = await ledgers.read(ledger, pb.ReadRequest(stream="call/kept"))
        assert len(kept) == 5
        naming.cancel()


async def keep_alive(ledger: Stub, calls: list[str]) -> None:
    """Name the calls as a worker does, until cancelled."""
    while True:
        request = pb.KeepAliveRequest(worker="signalling-1", call_ids=calls)
        await ledger.KeepAlive(request, timeout=TIMEOUT)
        await asyncio.sleep(0.2)


async def test_a_restarted_ledger_finds_the_unfinished_verdicts(launch: Launch) -> None:
    """A call left open by a killed ledger gets its one verdict from the next one."""
    process = launch()
    async with process.stub() as ledger:
        await append(ledger, told_call("c1"))
        process.kill()
        process.start()
        await append(ledger, [fact("c1", "call.ended", {"gate": "media_unavailable"})])
        assert (await verdict_of(ledger, "c1"))["causes"] == ["media_unavailable"]


async def test_many_writers_of_two_ledgers_leave_no_gap(launch: Launch) -> None:
    """Twenty writers on two appenders, each event sent twice: one entry each, no gap (I4)."""
    first, second = launch(), launch()

    async def write(ledger: Stub, number: int) -> set[tuple[str, int]]:
        places = set()
        for n in range(15):
            event = fact(f"w{number}", "recording.failed", discriminator=str(n))
            for entry in await append(ledger, [event, event]):
                places.add((entry.event_id, entry.index))
        return places

    async with first.stub() as one, second.stub() as two:
        stubs = [one, two]
        writers = [write(stubs[turn % 2], n) for n in range(10) for turn in range(2)]
        places = set().union(*await asyncio.gather(*writers))
        entries = await ledgers.read_all(one)
    ledgers.assert_gapless(entries)
    assert len(entries) == 150
    assert places == {(entry["event_id"], entry["index"]) for entry in entries}


async def test_killed_ledgers_enter_each_fact_once(launch: Launch) -> None:
    """Kill -9 again and again while clients repeat until a definite answer: I4 holds."""
    process = launch()
    async with process.stub() as ledger:

        async def write(number: int) -> None:
            for n in range(0, 60, 3):
                batch = [
                    fact(f"w{number}", "recording.failed", discriminator=str(k))
                    for k in range(n, n + 3)
                ]
                await append_until_definite(ledger, batch, timeout=60)

        writers = [asyncio.create_task(write(n)) for n in range(8)]
        for n in range(4):
            await append_until_definite(ledger, [fact("k", "call.ended", None, str(n))], 60)
            process.kill()
            process.start()
        await asyncio.gather(*writers)
        entries = await ledgers.read_all(ledger)
    ledgers.assert_gapless(entries)
    assert len([entry for entry in entries if entry["type"] == "recording.failed"]) == 480


@pytest.fixture
def frozen(mongo_server: Any) -> Iterator[Callable[[int], None]]:
    """Stops and continues the MongoDB server by signal; it goes on in the end."""
    yield mongo_server.process.send_signal
    mongo_server.process.send_signal(signal.SIGCONT)


async def test_a_database_that_hangs_loses_and_doubles_nothing(
    launch: Launch, frozen: Callable[[int], None]
) -> None:
    """While MongoDB hangs appends are told so in time; the same ids succeed once it goes on."""
    process = launch(mongo_timeout="1", append_seconds="1")
    facts = [fact("c1", "recording.failed", discriminator=str(n)) for n in range(20)]
    async with process.stub() as ledger:
        await append(ledger, facts[:5])
        frozen(signal.SIGSTOP)
        outcomes = await asyncio.gather(
            *(refusal(append(ledger, facts[n : n + 5])) for n in (0, 5, 10))
        )
        assert {code for code, _ in outcomes} == {grpc.StatusCode.UNAVAILABLE}
        assert await readiness(process, 503) == 503
        frozen(signal.SIGCONT)
        for n in (5, 10, 15, 0):
            await append_until_definite(ledger, facts[n : n + 5], timeout=30)
        entries = await ledgers.read_all(ledger)
        assert await readiness(process, 200) == 200
    ledgers.assert_gapless(entries)
    assert {entry["event_id"] for entry in entries} == {one.event_id for one in facts}


async def readiness(process: LedgerProcess, wanted: int) -> int:
    """What /readyz answers, asked until it is what is wanted."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            reader, writer = await asyncio.open_connection("127.0.0.1", process.http_port)
            writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
            status = int((await reader.readline()).split()[1])
            writer.close()
            await writer.wait_closed()
            if status == wanted:
                return status
            await asyncio.sleep(0.1)  # Readiness can only be asked.


async def test_paging_reads_the_log_and_a_stream(ledger: Stub) -> None:
    """Read gives entries in order from an index or of one stream, as many as asked."""
    await append(ledger, [*told_call("c1"), *told_call("c2")])
    assert [e["index"] for e in await ledgers.read(ledger, pb.ReadRequest(index=8))] == [8, 9]
    limited = await ledgers.read(ledger, pb.ReadRequest(stream="call/c2", limit=2))
    assert [(e["call"], e["seq"]) for e in limited] == [("c2", 0), ("c2", 1)]
    code, _ = await refusal(ledgers.read(ledger, pb.ReadRequest(index=0, limit=1001)))
    assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_without_its_indexes_it_does_not_start(launch: Launch, mongo: str) -> None:
    """An index that does not forbid duplicates is refused at start, with its name."""
    with MongoClient[dict[str, Any]](mongo) as client:
        client["onrecord"]["entries"].create_index("event_id")
    code, said = launch().wait()
    assert code == 1
    assert "event_id_1" in said


def test_without_a_database_it_does_not_start(tmp_path: Path, ports: Callable[[], int]) -> None:
    """A server that does not answer is named at start, and the process ends."""
    nowhere = f"mongodb://127.0.0.1:{ports()}/"
    process = LedgerProcess(tmp_path, ports(), ports(), nowhere, mongo_timeout="1")
    process.start()
    try:
        code, said = process.wait()
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert code == 1
    assert "StoreUnavailable" in said
