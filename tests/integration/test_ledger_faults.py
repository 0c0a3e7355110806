"""What happens to the consent ledger when it, its worker or its database fails or races."""

import asyncio
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import ledgers
import pytest
from ledgers import TIMEOUT, LedgerProcess, Stub, append, fact, told_call
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as pb
from onrecord.consent_ledger.adapters import mongo as adapter
from onrecord.consent_ledger.domain.entries import Head, assemble, open_draft
from onrecord.consent_ledger.ports import Followed
from onrecord.platform.facts import append as append_until_definite
from pymongo import MongoClient

Launch = Callable[..., LedgerProcess]


async def test_a_silent_worker_does_not_leave_a_call_open(launch: Launch) -> None:
    """A call that nobody names any more is judged without its end; a named one is not."""
    async with launch(keepalive_silence="2").stub() as ledger:
        await append(ledger, [*told_call("kept"), *told_call("lost")])
        naming = asyncio.create_task(keep_alive(ledger, ["kept"]))
        verdict = await ledgers.verdict_of(ledger, "lost")
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


async def test_a_ledger_that_stood_still_judges_no_running_call(launch: Launch) -> None:
    """Stopped for longer than a worker may be silent, it waits to be told before it judges.

    The worker's next KeepAlive comes after the ledger's first round; another call's verdict shows
    that a round was made.
    """
    process = launch(keepalive_silence="6")
    async with process.stub() as ledger:
        await append(ledger, told_call("running"))
        await a_round(ledger, "before")
        process.signal(signal.SIGSTOP)
        await asyncio.sleep(7)  # The silence is what is tried.
        process.signal(signal.SIGCONT)
        await a_round(ledger, "after")
        naming = pb.KeepAliveRequest(worker="signalling-1", call_ids=["running"])
        await ledger.KeepAlive(naming, timeout=TIMEOUT)
        entries = await ledgers.read(ledger, pb.ReadRequest(stream="call/running"))
        assert [entry["type"] for entry in entries] == [one.type for one in told_call("running")]


async def a_round(ledger: Stub, call: str) -> None:
    """Wait until the ledger has judged a call that is over."""
    ended = fact(call, "call.ended", {"gate": "media_unavailable"})
    await append(ledger, [*told_call(call)[:3], ended])
    await ledgers.verdict_of(ledger, call)


async def test_a_recording_that_is_not_stored_is_judged_in_the_end(launch: Launch) -> None:
    """The recorder says no more: failed, by name; stored after all, the verdict is amended."""
    async with launch(recorder_silence="1").stub() as ledger:
        await append(ledger, told_call("c1"))
        await ledgers.ask_permit(ledger, "c1")
        started = fact("c1", "recording.started", discriminator="c1:p0")
        await append(ledger, [started, fact("c1", "call.ended")])
        verdict = await ledgers.verdict_of(ledger, "c1")
        assert (verdict["verdict"], verdict["causes"]) == ("failed", ["not_stored"])
        await append(ledger, [ledgers.stored("c1", "c1:p0")])
        amended = await ledgers.amended_verdict_of(ledger, "c1")
        assert (amended["verdict"], amended["amends"]) == ("recorded", "c1:call.verdict")


async def test_a_restarted_ledger_finds_the_unfinished_verdicts(launch: Launch) -> None:
    """A call left open by a killed ledger gets its one verdict from the next one."""
    process = launch()
    async with process.stub() as ledger:
        await append(ledger, told_call("c1"))
        process.kill()
        process.start()
        await append(ledger, [fact("c1", "call.ended", {"gate": "media_unavailable"})])
        assert (await ledgers.verdict_of(ledger, "c1"))["causes"] == ["media_unavailable"]


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
            *(ledgers.refusal(append(ledger, facts[n : n + 5])) for n in (0, 5, 10))
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


async def test_the_end_of_a_log_of_any_size_is_found(mongo: str) -> None:
    """By its keys, without reading the log; an empty one has none."""
    client = adapter.connect(mongo, 5)
    try:
        database = adapter.database(client)
        await adapter.prepare(database)
        log = adapter.MongoLog(database)
        assert await log.head() == Head(-1, None)
        head = Head(-1, None)
        for more in (1, 62, 1, 1, 65, 1):
            drafts = [
                open_draft(fact("c1", "recording.failed", discriminator=str(head.index + n)))
                for n in range(1, more + 1)
            ]
            await log.insert(assemble(head, {"call/c1": head.index + 1}, drafts, ledgers.NOON))
            head = Head(head.index + more, ledgers.NOON)
            assert await log.head() == head
    finally:
        await client.close()


async def test_the_position_of_verdicts_is_found_again(mongo: str) -> None:
    """What is noted last is read again; nothing noted is the beginning."""
    client = adapter.connect(mongo, 5)
    try:
        position = adapter.MongoVerdictPosition(adapter.database(client))
        assert await position.load() == Followed(0, frozenset())
        for followed in (Followed(7, frozenset({"c1"})), Followed(9, frozenset({"c2", "c3"}))):
            await position.save(followed)
            assert await position.load() == followed
    finally:
        await client.close()


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
