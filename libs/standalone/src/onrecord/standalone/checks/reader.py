"""Collects what the checks look at: MongoDB, Kafka, object store, spool. It asks no service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from onrecord.contracts.entry import Entry
from onrecord.contracts.topics import PARTITIONS, TOPIC_OF
from onrecord.ledger.unit_keys import keys_in
from onrecord.platform.errors import NotFound
from onrecord.platform.objects import open_store
from onrecord.standalone.checks.observed import (
    Log,
    LoggedEntry,
    Observed,
    PhoneTape,
    Published,
    Release,
    Traces,
)
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

DATABASE = "onrecord"
INDEX = "onrecord_retrieval"
PUBLISHED_SECONDS = 30.0
"""How long the relay may take to bring a committed entry to Kafka."""
_POLL_MS = 200
Database = AsyncDatabase[dict[str, Any]]


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
    seen = (await observe_all(places, {call: phones}, private))[call]
    return replace(seen, release=release)


async def observe_all(
    places: Places,
    phones: Mapping[str, Mapping[str, PhoneTape]],
    private: tuple[str, ...] = (),
) -> dict[str, Observed]:
    """Read everything about several calls, by their ids, as `observe` does for one."""
    async with opened(places) as stores:
        log = await stores.log()
        found = {call: await stores.observe(call) for call in phones}
    expected = {call: {(e.stream, e.seq) for e in seen.entries} for call, seen in found.items()}
    records = await published(places.kafka, expected)
    return {
        call: replace(
            seen,
            log=log,
            published=tuple(records[call]),
            phones=phones[call],
            private=private,
        )
        for call, seen in found.items()
    }


class Stores:
    """Everything but Kafka, open for reading."""

    def __init__(self, places: Places, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self._places = places
        self._client = client

    async def log(self) -> Log:
        """The place of every entry of the log."""
        entries = self._client[DATABASE].entries.find({}, {"stream": 1, "seq": 1})
        return tuple(
            [
                (int(found["_id"]), str(found["stream"]), int(found["seq"]))
                async for found in entries.sort("_id", 1)
            ]
        )

    async def entries(self) -> AsyncIterator[LoggedEntry]:
        """Every entry of the log, in the order of its index."""
        async for found in self._client[DATABASE].entries.find({}).sort("_id", 1):
            yield _logged(found)

    async def traces(self) -> Traces:
        """What relay, verdicts, index, spool and a folder of objects know of the log."""
        ledger, index = self._client[DATABASE], self._client[INDEX]
        notes = [await ledger[name].find_one({}) for name in ("relay", "verdicts")]
        calls = {str(found["_id"]) async for found in index.calls.find({}, {"_id": 1})}
        for folder in (self._places.spool, Path(self._places.objects)):
            calls |= await asyncio.to_thread(_folders_in, folder)
        return Traces(
            frozenset(calls), max((int(note["next_index"]) for note in notes if note), default=0)
        )

    async def observe(self, call: str) -> Observed:
        """What is stored of a call: not the log's other entries, what was published, the phones."""
        database = self._client[DATABASE]
        entries = await _entries(database, call)
        return Observed(
            call,
            (),
            tuple(entries),
            (),
            await _objects(self._places.objects, call, entries),
            await _unit_keys(database, call),
            await asyncio.to_thread(_left_in_spool, self._places.spool, call),
            {},
            projection=await self._client[INDEX].calls.find_one({"_id": call}),
        )


@asynccontextmanager
async def opened(places: Places) -> AsyncIterator[Stores]:
    """Connect to the stores while the context lasts. Reading raises PyMongoError."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(places.mongo, tz_aware=True)
    try:
        yield Stores(places, client)
    finally:
        await client.close()


async def log_head(mongo: str) -> int:
    """The index of the log's last entry; -1 while it is empty."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo)
    try:
        last = await client[DATABASE].entries.find_one({}, {"_id": 1}, sort=[("_id", -1)])
    finally:
        await client.close()
    return -1 if last is None else int(last["_id"])


async def published(
    kafka: str, expected: Mapping[str, set[tuple[str, int]]]
) -> dict[str, list[Published]]:
    """The records of each call, in the order of their partition, once all that are expected are in.

    `expected` names the places (stream, seq) by call. Nothing is read where nothing is expected.
    """
    found: dict[str, list[Published]] = {call: [] for call in expected}
    missing = {(call, *place) for call, places in expected.items() for place in places}
    if not missing:
        return found
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    await consumer.start()
    try:
        consumer.assign(every_partition())
        async with asyncio.timeout(PUBLISHED_SECONDS):
            while missing:
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in map(_published, records):
                        call = record.key.decode()
                        if call in found:
                            found[call].append(record)
                            missing.discard((call, *_place(record)))
    except TimeoutError:
        pass  # The check names what is missing.
    finally:
        await consumer.stop()
    return found


def every_partition() -> list[TopicPartition]:
    """All partitions of onrecord's topics, as onrecord creates them."""
    topics = sorted(set(TOPIC_OF.values()))
    return [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]


async def _entries(database: Database, call: str) -> list[LoggedEntry]:
    found = database.entries.find({"call": call}).sort("_id", 1)
    return [_logged(document) async for document in found]


async def _unit_keys(database: Database, call: str) -> dict[str, bytes]:
    found = database.secrets.find({"_id": {"$regex": f"^unit/{call}:"}})
    return keys_in({str(one["_id"]): bytes(one["secret"]) async for one in found})


def _logged(found: Mapping[str, Any]) -> LoggedEntry:
    return LoggedEntry(
        int(found["_id"]),
        str(found["event_id"]),
        str(found["stream"]),
        int(found["seq"]),
        bytes(found["canonical"]),
        {name: bytes(value) for name, value in found["sealed"].items()},
        bytes(found["leaf"]),
        str(found["call"]),
        str(found["type"]),
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


async def _objects(url: str, call: str, entries: list[LoggedEntry]) -> dict[str, bytes]:
    """The bodies of all objects that the call's entries name; a missing one is left out."""
    stored = [logged.entry for logged in entries if logged.entry.type == "recording.stored"]
    keys = [unit["object_key"] for entry in stored for unit in entry.fields["units"]]
    keys += [e.fields["manifest_key"] for e in stored if e.fields.get("manifest_key")]
    # A folder shows as well what no entry names.
    keys += [key for key in await asyncio.to_thread(_in_folder, url, call) if key not in keys]
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


def _in_folder(url: str, call: str) -> list[str]:
    root = Path(url)
    # What begins with a dot is no object: a writer died before it gave the file its name.
    files = (path for path in (root / call).rglob("[!.]*") if path.is_file())
    return [str(path.relative_to(root)) for path in files]


def _folders_in(folder: Path) -> set[str]:
    """The names of its folders; none where it is not one itself."""
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if path.is_dir()}


def _left_in_spool(spool: Path, call: str) -> tuple[str, ...]:
    folder = spool / call
    return tuple(sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()))
