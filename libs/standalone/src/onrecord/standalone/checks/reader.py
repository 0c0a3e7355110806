"""Collects what the checks look at: MongoDB, Kafka, object store, spool. It asks no service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from onrecord.contracts.entry import Entry
from onrecord.contracts.topics import PARTITIONS, TOPIC_OF
from onrecord.platform.errors import NotFound
from onrecord.platform.objects import open_store
from onrecord.standalone.checks.observed import LoggedEntry, Observed, PhoneTape, Published, Release
from pymongo import AsyncMongoClient

DATABASE = "onrecord"
PUBLISHED_SECONDS = 30.0
"""How long the relay may take to bring a committed entry to Kafka."""
_POLL_MS = 200


@dataclass(frozen=True)
class Places:
    """Where a stack keeps things: URIs of its servers, the spool's folder."""

    mongo: str
    kafka: str
    objects: str
    spool: Path


async def observe(
    places: Places,
    call: str,
    phones: Mapping[str, PhoneTape],
    release: Release | None = None,
    private: tuple[str, ...] = (),
) -> Observed:
    """Read everything about a call that has its verdict.

    Waits at most `PUBLISHED_SECONDS` for Kafka and then takes what is there: a check will say so.
    """
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(places.mongo, tz_aware=True)
    try:
        database = client[DATABASE]
        log = [
            (int(found["_id"]), str(found["stream"]), int(found["seq"]))
            async for found in database.entries.find({}, {"stream": 1, "seq": 1}).sort("_id", 1)
        ]
        entries = [
            _logged(found) async for found in database.entries.find({"call": call}).sort("_id", 1)
        ]
        keys = {
            str(found["_id"]).removeprefix("unit/"): bytes(found["secret"])
            async for found in database.secrets.find({"_id": {"$regex": f"^unit/{call}:"}})
        }
    finally:
        await client.close()
    return Observed(
        call,
        tuple(log),
        tuple(entries),
        tuple(await published(places.kafka, call, {(e.stream, e.seq) for e in entries})),
        await _objects(places.objects, entries),
        keys,
        await asyncio.to_thread(_left_in_spool, places.spool, call),
        phones,
        release,
        private,
    )


async def log_head(mongo: str) -> int:
    """The index of the log's last entry; -1 while it is empty."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo)
    try:
        last = await client[DATABASE].entries.find_one({}, {"_id": 1}, sort=[("_id", -1)])
    finally:
        await client.close()
    return -1 if last is None else int(last["_id"])


async def published(kafka: str, call: str, expected: set[tuple[str, int]]) -> list[Published]:
    """The call's records, in the order of each partition, once all that are expected are there.

    Nothing is read where nothing is expected.
    """
    if not expected:
        return []
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    found: list[Published] = []
    missing = set(expected)
    await consumer.start()
    try:
        consumer.assign(every_partition())
        async with asyncio.timeout(PUBLISHED_SECONDS):
            while missing:
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    ours = [_published(r) for r in records if r.key == call.encode()]
                    found += ours
                    missing -= {_place(record) for record in ours}
    except TimeoutError:
        pass  # The check names what is missing.
    finally:
        await consumer.stop()
    return found


def every_partition() -> list[TopicPartition]:
    """All partitions of onrecord's topics, as onrecord creates them."""
    topics = sorted(set(TOPIC_OF.values()))
    return [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]


def _logged(found: Mapping[str, Any]) -> LoggedEntry:
    return LoggedEntry(
        int(found["_id"]),
        str(found["event_id"]),
        str(found["stream"]),
        int(found["seq"]),
        bytes(found["canonical"]),
        {name: bytes(value) for name, value in found["sealed"].items()},
        bytes(found["leaf"]),
    )


def _published(record: Any) -> Published:
    return Published(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        dict(record.headers),
    )


def _place(record: Published) -> tuple[str, int]:
    entry = Entry.from_kafka(record.value)
    return entry.stream, entry.seq


async def _objects(url: str, entries: list[LoggedEntry]) -> dict[str, bytes]:
    """The bodies of all objects that the call's entries name; a missing one is left out."""
    stored = [logged.entry for logged in entries if logged.entry.type == "recording.stored"]
    keys = [unit["object_key"] for entry in stored for unit in entry.fields["units"]]
    keys += [e.fields["manifest_key"] for e in stored if e.fields.get("manifest_key")]
    store = open_store(url)
    bodies = {}
    try:
        for key in keys:
            try:
                bodies[key] = await store.get(key)
            except NotFound:
                continue
    finally:
        await store.close()
    return bodies


def _left_in_spool(spool: Path, call: str) -> tuple[str, ...]:
    folder = spool / call
    return tuple(sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()))
