"""The index in MongoDB: database `onrecord_retrieval`, one document per call in `calls`.

A derived view: it can be dropped and is built again from the topic. Writes are majority and
journalled all the same, because the consumer's position moves on behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any

import pymongo
from onrecord.platform.errors import Unavailable
from onrecord.retrieval.domain.call import Call, TimelineFact
from onrecord.retrieval.domain.paging import Filters, Place
from pymongo import DESCENDING, AsyncMongoClient, WriteConcern
from pymongo.errors import DuplicateKeyError, PyMongoError

DATABASE = "onrecord_retrieval"
TIMEOUT_MS = 5000
CLOSE_SECONDS = 1.0

Document = dict[str, Any]


class CallIndex:
    """Reads and advances the documents. Every method raises Unavailable when MongoDB fails."""

    def __init__(self, uri: str) -> None:
        """`uri` names the server; nothing connects before the first use."""
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(
            uri, timeoutMS=TIMEOUT_MS, serverSelectionTimeoutMS=TIMEOUT_MS
        )
        self._calls = self._client[DATABASE].get_collection(
            "calls", write_concern=WriteConcern(w="majority", j=True)
        )

    async def prepare(self) -> None:
        """Create the indexes that searches use; harmless when they are there."""
        with _mapped():
            for leading in ([], ["verdict"], ["line"], ["identifiers"]):
                keys = [*leading, "started_at", "_id"]
                await self._calls.create_index([(key, DESCENDING) for key in keys])

    async def ping(self) -> None:
        """Return when the server answers."""
        with _mapped():
            await self._client.admin.command("ping")

    async def summary(self, call: str) -> Call | None:
        """The call's summary; None for a call that is not known."""
        with _mapped():
            found = await self._calls.find_one({"_id": call}, {"timeline": False})
        return _call(found) if found else None

    async def get(self, call: str) -> tuple[Call, tuple[TimelineFact, ...]] | None:
        """The call's summary and its facts in order; None for a call that is not known."""
        with _mapped():
            found = await self._calls.find_one({"_id": call})
        if found is None:
            return None
        return _call(found), tuple(_fact(row) for row in found["timeline"])

    async def advance(self, before: Call, after: Call, facts: Sequence[TimelineFact]) -> bool:
        """Replace `before` by `after`, its timeline longer by `facts`, in one step.

        False, and nothing written, when the document is no longer at `before.last_seq`.
        """
        summary = asdict(after)
        change = {
            "$set": {name: value for name, value in summary.items() if name != "call"},
            "$push": {"timeline": {"$each": [asdict(fact) for fact in facts]}},
        }
        place = {"_id": before.call, "last_seq": before.last_seq}
        with _mapped():
            try:
                # A call that begins has no document: one that is there fails by its _id.
                done = await self._calls.update_one(place, change, upsert=before.last_seq < 0)
            except DuplicateKeyError:
                return False
        return bool(done.matched_count or done.upserted_id)

    async def search(self, filters: Filters, after: Place | None, limit: int) -> list[Call]:
        """Up to `limit` calls, newest first, those of one moment by id, beginning after a place."""
        with _mapped():
            rows = self._calls.find(_condition(filters, after), {"timeline": False})
            ordered = rows.sort([("started_at", DESCENDING), ("_id", DESCENDING)]).limit(limit)
            return [_call(row) async for row in ordered]

    async def close(self) -> None:
        """Give the connections back; a server that is gone is not waited for."""
        with pymongo.timeout(CLOSE_SECONDS):
            await self._client.close()


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise Unavailable("mongo_unavailable", str(error)) from error


def _condition(filters: Filters, after: Place | None) -> Document:
    parts: list[Document] = []
    if filters.started_from:
        parts.append({"started_at": {"$gte": filters.started_from}})
    if filters.started_to:
        parts.append({"started_at": {"$lt": filters.started_to}})
    if filters.verdict:
        parts.append({"verdict": filters.verdict})
    if filters.line:
        parts.append({"line": filters.line})
    if filters.identifier:
        parts.append({"identifiers": {"$in": list(filters.identifiers)}})
    if after:
        same_moment = {"started_at": after.started_at, "_id": {"$lt": after.call}}
        parts.append({"$or": [{"started_at": {"$lt": after.started_at}}, same_moment]})
    return {"$and": parts} if parts else {}


def _call(row: Document) -> Call:
    known = {field.name: row[field.name] for field in fields(Call) if field.name in row}
    lists = {name: tuple(row.get(name, ())) for name in ("causes", "identifiers")}
    return Call(**known | lists | {"call": row["_id"]})


def _fact(row: Document) -> TimelineFact:
    return TimelineFact(**row | {"sealed": tuple(row["sealed"])})
