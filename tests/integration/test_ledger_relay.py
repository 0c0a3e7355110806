"""The relay on a real Kafka broker: everything, in order, again when the broker lost it."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ledgers
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from brokers import Broker, make_broker
from ledgers import LedgerProcess, append, fact, told_call
from onrecord.contracts import topics
from onrecord.contracts.entry import Entry
from onrecord.contracts.event import Event
from pymongo import AsyncMongoClient

SECONDS = 40.0


@pytest.fixture
def broker(ports: Callable[[], int], tmp_path: Path) -> Iterator[Broker]:
    """A running empty broker, of the kind that this run is for."""
    broker = make_broker(ports, tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def ledger(
    mongo: str, tmp_path: Path, ports: Callable[[], int], broker: Broker
) -> Iterator[LedgerProcess]:
    """A ledger that feeds the broker."""
    process = LedgerProcess(
        tmp_path,
        ports(),
        ports(),
        mongo,
        kafka=broker.address,
        kafka_idempotence=str(broker.idempotence).lower(),
    )
    process.start()
    yield process
    process.stop()


@asynccontextmanager
async def reading(broker: Broker) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads every partition of every topic from its first record."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.address, auto_offset_reset="earliest", fetch_max_wait_ms=50
    )
    consumer.assign(
        [
            TopicPartition(topic, partition)
            for topic in sorted(set(topics.TOPIC_OF.values()))
            for partition in range(topics.PARTITIONS)
        ]
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def records_of(broker: Broker, count: int) -> list[ConsumerRecord]:
    """Read until `count` different entries have come."""
    records: list[ConsumerRecord] = []
    seen: set[int] = set()
    async with asyncio.timeout(SECONDS), reading(broker) as consumer:
        while len(seen) < count:
            record = await consumer.getone()
            records.append(record)
            seen.add(Entry.from_kafka(record.value).index)
    return records


def first_deliveries(records: list[ConsumerRecord]) -> dict[str, list[int]]:
    """The seqs of each stream in order of arrival, each at its first."""
    seqs: dict[str, list[int]] = {}
    for record in records:
        entry = Entry.from_kafka(record.value)
        if entry.seq not in seqs.setdefault(entry.stream, []):
            seqs[entry.stream].append(entry.seq)
    return seqs


async def test_every_entry_is_published_in_order(ledger: LedgerProcess, broker: Broker) -> None:
    """Value, headers, key, topic and order are those of the log."""
    async with ledger.stub() as stub:
        for call in ("c1", "c2", "c3"):
            await append(stub, told_call(call))
        log = await ledgers.read_all(stub)
    records = await records_of(broker, len(log))
    assert first_deliveries(records) == {f"call/c{n}": [0, 1, 2, 3, 4] for n in (1, 2, 3)}
    for record in records:
        entry = Entry.from_kafka(record.value)
        assert json.loads(record.value)["canonical"] == log[entry.index]
        headers = {name: value.decode() for name, value in record.headers}
        assert headers.pop("traceparent", "-")
        assert headers == {
            "ce_specversion": "1.0",
            "ce_id": entry.event_id,
            "ce_type": f"onrecord.{entry.type}.v1",
            "ce_source": "onrecord/consent-ledger",
            "ce_time": entry.time,
            "ce_subject": entry.call,
            "content-type": "application/json",
            "stream": entry.stream,
            "seq": str(entry.seq),
            "index": str(entry.index),
        }
        assert (record.topic, record.key) == (topics.CALLS, entry.call.encode())
        assert ledgers.CANARY.encode() not in record.value


async def test_access_is_published_apart(ledger: LedgerProcess, broker: Broker) -> None:
    """What concerns access goes to the restricted topic, with a gapless seq of its own."""
    async with ledger.stub() as stub:
        await append(stub, [fact("c1", "call.started")])
        await append(stub, [hold("c1", n) for n in range(3)])
    records = await records_of(broker, 4)
    assert first_deliveries(records)["recording/c1"] == [0, 1, 2]
    audit = [record for record in records if record.topic == topics.AUDIT]
    assert {Entry.from_kafka(record.value).type for record in audit} == {"hold.placed"}


def hold(call: str, number: int) -> Event:
    """A hold in the stream of the call's recording."""
    placed = fact(call, "hold.placed", discriminator=str(number))
    return dataclasses.replace(placed, stream=f"recording/{call}")


async def test_an_empty_broker_is_refilled_while_nothing_happens(
    ledger: LedgerProcess, broker: Broker
) -> None:
    """A broker that comes back empty gets the whole log again, though nothing new is appended."""
    async with ledger.stub() as stub:
        await append(stub, [*told_call("c1"), *told_call("c2")])
    await records_of(broker, 10)
    broker.kill()
    broker.start()
    assert first_deliveries(await records_of(broker, 10)) == {
        "call/c1": [0, 1, 2, 3, 4],
        "call/c2": [0, 1, 2, 3, 4],
    }


async def test_appends_go_on_without_a_broker(ledger: LedgerProcess, broker: Broker) -> None:
    """The broker's absence is invisible to appends, and afterwards nothing is missing."""
    async with ledger.stub() as stub:
        await append(stub, told_call("c1"))
        await records_of(broker, 5)
        broker.kill()
        await append(stub, told_call("c2"))
        answer = await ledgers.ask_permit(stub, "c2")
        assert answer.HasField("granted")
        broker.start()
    records = await records_of(broker, 11)
    streams = first_deliveries(records)
    assert {stream: sorted(seqs) for stream, seqs in streams.items()} == {
        "call/c1": [0, 1, 2, 3, 4],
        "call/c2": [0, 1, 2, 3, 4, 5],
    }


async def test_a_restarted_ledger_goes_on_publishing(ledger: LedgerProcess, broker: Broker) -> None:
    """After a kill of the ledger nothing is missing from the topic; repeats are allowed."""
    async with ledger.stub() as stub:
        await append(stub, told_call("c1"))
        ledger.kill()
        ledger.start()
        await append(stub, [fact("c1", "call.ended", {"gate": "not_asked"})])
    records = await records_of(broker, 7)
    assert first_deliveries(records)["call/c1"] == list(range(7))


async def noted_index(mongo: str) -> int:
    """How far the relay has noted that it came; -1 before its first note."""
    async with AsyncMongoClient[dict[str, Any]](mongo) as client:
        noted = await client["onrecord"]["relay"].find_one({})
    return -1 if noted is None else int(noted["next_index"])


async def test_a_restarted_ledger_does_not_send_everything_again(
    ledger: LedgerProcess, broker: Broker, mongo: str
) -> None:
    """Once its position is noted, a killed and restarted relay goes on from there."""
    async with ledger.stub() as stub:
        await append(stub, told_call("c1"))
        async with asyncio.timeout(SECONDS):
            while await noted_index(mongo) < 5:
                await asyncio.sleep(0.05)
        ledger.kill()
        ledger.start()
        await append(stub, told_call("c2"))
    records = await records_of(broker, 10)
    assert [Entry.from_kafka(record.value).call for record in records].count("c1") == 5


async def test_a_broker_lost_while_the_ledger_was_down_is_refilled(
    ledger: LedgerProcess, broker: Broker, mongo: str
) -> None:
    """The noted position is not believed against a broker that came back empty."""
    async with ledger.stub() as stub:
        await append(stub, told_call("c1"))
        async with asyncio.timeout(SECONDS):
            while await noted_index(mongo) < 5:
                await asyncio.sleep(0.05)
        ledger.kill()
        broker.kill()
        broker.start()
        ledger.start()
    assert first_deliveries(await records_of(broker, 5)) == {"call/c1": [0, 1, 2, 3, 4]}
