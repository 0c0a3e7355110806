"""MongoDB: the log and the secrets, by PyMongo's asyncio API.

Every write is acknowledged by a majority with its journal (ADR: the ledger is the record), and
every operation has a deadline.
"""

from __future__ import annotations

import secrets as randomness
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from onrecord.consent_ledger.domain.entries import Head, StoredEntry
from onrecord.consent_ledger.ports import Followed, Reached, StoreUnavailable
from onrecord.ledger.sealing import SECRET_SIZE
from onrecord.platform.errors import Damaged
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, PyMongoError
from pymongo.read_concern import ReadConcern

Document = dict[str, Any]

DATABASE = "onrecord"
DUPLICATE_KEY = 11000
_INDEX_DIGITS = 9
"""Digits of an index to base 64: 2^54 entries."""

UNIQUE_INDEXES: dict[str, list[tuple[str, int]]] = {
    "event_id_1": [("event_id", 1)],
    "stream_1_seq_1": [("stream", 1), ("seq", 1)],
}


def connect(uri: str, timeout: float) -> AsyncMongoClient[Document]:
    """A client whose operations all end within `timeout` seconds; connects when first used."""
    milliseconds = round(timeout * 1000)
    return AsyncMongoClient(
        uri,
        timeoutMS=milliseconds,
        serverSelectionTimeoutMS=milliseconds,
        connectTimeoutMS=milliseconds,
        appname="onrecord-consent-ledger",
    )


def database(client: AsyncMongoClient[Document]) -> AsyncDatabase[Document]:
    """The ledger's database, durable in what it writes and reads."""
    return client.get_database(
        DATABASE,
        write_concern=WriteConcern(w="majority", j=True),
        read_concern=ReadConcern("majority"),
    )


async def prepare(db: AsyncDatabase[Document]) -> None:
    """Create the unique indexes and check that they are there.

    Raises StoreUnavailable, and Damaged when an index is not what the log rests on: without it
    the same fact could be entered twice.
    """
    entries = db["entries"]
    async with _answering():
        for keys in UNIQUE_INDEXES.values():
            await entries.create_index(keys, unique=True)
        found = await entries.index_information()
    for name, keys in UNIQUE_INDEXES.items():
        index = found.get(name, {})
        if not index.get("unique") or list(index.get("key", ())) != keys:
            raise Damaged(
                "ledger_index", f"collection entries needs the unique index {name} on {keys}"
            )


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


class MongoLog:
    """The log in the collection `entries`: `_id` is the index."""

    def __init__(self, db: AsyncDatabase[Document]) -> None:
        self._entries: AsyncCollection[Document] = db["entries"]

    async def ping(self) -> None:
        """Raise StoreUnavailable unless the server answers."""
        async with _answering():
            await self._entries.database.command("ping")

    async def head(self) -> Head:
        """Where the log ends now."""
        # The indexes have no gap, so the end is found by its keys, 64 at a time: sorting by them
        # is a scan of the whole log on the embedded server (5 s at 200,000 entries).
        last = -1
        for power in reversed(range(_INDEX_DIGITS)):
            keys = [last + n * 64**power for n in range(1, 65)]
            async with _answering():
                found = await self._entries.find({"_id": {"$in": keys}}, {"_id": 1}).to_list()
            last = max((document["_id"] for document in found), default=last)
        entries = await self.page(last, 1) if last >= 0 else []
        return Head(last, entries[0].read().recorded_at) if entries else Head(-1, None)

    async def next_seqs(self, streams: Collection[str]) -> dict[str, int]:
        """The seq that the next entry of each stream gets."""
        found = dict.fromkeys(streams, 0)
        async with _answering():
            for stream in streams:
                last = await self._entries.find_one(
                    {"stream": stream}, {"seq": 1}, sort=[("seq", -1)]
                )
                if last is not None:
                    found[stream] = last["seq"] + 1
        return found

    async def find(self, event_ids: Collection[str]) -> dict[str, StoredEntry]:
        """Those of these events that are committed, by id."""
        async with _answering():
            found = await self._entries.find({"event_id": {"$in": list(event_ids)}}).to_list()
        return {document["event_id"]: _entry(document) for document in found}

    async def stream(self, stream: str, limit: int = 0, from_seq: int = 0) -> list[StoredEntry]:
        """The entries of a stream by seq, from a seq on; limit 0 means all."""
        wanted = {"stream": stream, "seq": {"$gte": from_seq}}
        async with _answering():
            cursor = self._entries.find(wanted).sort("seq", 1).limit(limit)
            return [_entry(document) for document in await cursor.to_list()]

    async def page(self, index: int, limit: int) -> list[StoredEntry]:
        """At most `limit` entries from `index` on, in order."""
        # The indexes have no gap, so a page can be named: a lookup by key on every server, where a
        # range of `_id` is a scan of the whole log on the embedded one (55 ms at 5,000 entries).
        wanted = {"_id": {"$in": list(range(index, index + limit))}}
        async with _answering():
            documents = await self._entries.find(wanted).sort("_id", 1).to_list()
        return [_entry(document) for document in documents]

    async def insert(self, entries: Sequence[StoredEntry]) -> int:
        """Write entries in order up to the first that collides; says how many were written."""
        try:
            await self._entries.insert_many([_document(entry) for entry in entries], ordered=True)
        except BulkWriteError as error:
            details: Mapping[str, Any] = error.details
            failures = details.get("writeErrors", [])
            if failures and failures[0]["code"] == DUPLICATE_KEY:
                return int(details["nInserted"])
            raise StoreUnavailable(f"insert: {details}") from error
        except PyMongoError as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
        return len(entries)


class MongoSecrets:
    """Keys in the collection `secrets`; deleting a document destroys what it opens."""

    def __init__(self, db: AsyncDatabase[Document]) -> None:
        self._secrets: AsyncCollection[Document] = db["secrets"]

    async def ensure(self, ids: Collection[str], size: int = SECRET_SIZE) -> dict[str, bytes]:
        """The secrets with these ids; of this many octets, and durable, if they are made now."""
        found = await self.find(ids)
        missing = [one for one in dict.fromkeys(ids) if one not in found]
        if not missing:
            return found
        made = [{"_id": one, "secret": randomness.token_bytes(size)} for one in missing]
        async with _answering():
            try:
                await self._secrets.insert_many(made, ordered=False)
            except BulkWriteError as error:
                # Another request made some of them in the meantime: theirs are the ones.
                codes = {failure["code"] for failure in error.details["writeErrors"]}
                if codes != {DUPLICATE_KEY} or error.details["writeConcernErrors"]:
                    raise
        return await self.find(ids)

    async def find(self, ids: Collection[str]) -> dict[str, bytes]:
        """Those of these secrets that exist."""
        async with _answering():
            documents = await self._secrets.find({"_id": {"$in": list(ids)}}).to_list()
        return {document["_id"]: bytes(document["secret"]) for document in documents}


class MongoRelayPosition:
    """How far the relay has come, in the collection `relay`, which has one document."""

    def __init__(self, db: AsyncDatabase[Document]) -> None:
        self._relay: AsyncCollection[Document] = db["relay"]

    async def load(self, broker: str) -> Reached:
        """What was noted for this broker; the beginning where another one was fed before."""
        async with _answering():
            noted = await self._relay.find_one({"_id": "kafka", "broker": broker})
        return Reached(noted["next_index"], noted["next_offsets"]) if noted else Reached(0, {})

    async def save(self, broker: str, reached: Reached) -> None:
        """Note it, in place of what was noted before."""
        noted = {
            "broker": broker,
            "next_index": reached.next_index,
            "next_offsets": dict(reached.next_offsets),
        }
        async with _answering():
            await self._relay.replace_one({"_id": "kafka"}, noted, upsert=True)


class MongoVerdictPosition:
    """How far verdicts have come, in the collection `verdicts`, which has one document."""

    def __init__(self, db: AsyncDatabase[Document]) -> None:
        self._verdicts: AsyncCollection[Document] = db["verdicts"]

    async def load(self) -> Followed:
        """What was noted last; the beginning where nothing was."""
        async with _answering():
            noted = await self._verdicts.find_one({"_id": "position"})
        if noted is None:
            return Followed(0, frozenset())
        return Followed(noted["next_index"], frozenset(noted["open_calls"]))

    async def save(self, followed: Followed) -> None:
        """Note it, in place of what was noted before."""
        noted = {
            "next_index": followed.next_index,
            "open_calls": sorted(followed.open_calls),
        }
        async with _answering():
            await self._verdicts.replace_one({"_id": "position"}, noted, upsert=True)


def _document(entry: StoredEntry) -> Document:
    return {
        "_id": entry.index,
        "event_id": entry.event_id,
        "stream": entry.stream,
        "seq": entry.seq,
        "call": entry.call,
        "type": entry.type,
        "canonical": entry.canonical,
        "sealed": dict(entry.sealed),
        "leaf": entry.leaf,
        "traceparent": entry.traceparent,
    }


def _entry(document: Document) -> StoredEntry:
    return StoredEntry(
        index=document["_id"],
        event_id=document["event_id"],
        stream=document["stream"],
        seq=document["seq"],
        call=document["call"],
        type=document["type"],
        canonical=bytes(document["canonical"]),
        sealed={name: bytes(value) for name, value in document["sealed"].items()},
        leaf=bytes(document["leaf"]),
        traceparent=document["traceparent"],
    )
