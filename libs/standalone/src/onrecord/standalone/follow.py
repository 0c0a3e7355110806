"""Follows calls as they happen, by what is published on Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from onrecord.contracts.entry import Entry, MalformedEntry
from onrecord.contracts.topics import TOPIC_OF
from onrecord.platform.kafka import await_topics
from onrecord.standalone.checks.reader import every_partition

_POLL_MS = 100
_BACKOFF_MS = 500
"""Between its tries while the broker is away, which it makes by itself and reports to nobody."""
_RETRY_SECONDS = 0.5


class CallFollower:
    """Collects the entries of every call, each once, in the order of their streams."""

    def __init__(self, tell: Callable[[Entry], None]) -> None:
        """`tell` is called with each new entry."""
        self._tell = tell
        self._entries: dict[tuple[str, int], Entry] = {}
        self._changed = asyncio.Condition()

    def of_call(self, call: str) -> list[Entry]:
        """What is known of a call, in the order of the log."""
        found = [entry for entry in self._entries.values() if entry.call == call]
        return sorted(found, key=lambda entry: entry.index)

    async def call_started_after(self, index: int, timeout: float) -> str:
        """The id of the first call whose `call.started` comes after this index of the log."""
        entry = await self._wait(
            lambda entry: entry.type == "call.started" and entry.index > index, timeout
        )
        return entry.call

    async def event(self, call: str, types: frozenset[str], timeout: float) -> Entry:
        """The call's first entry of one of these types. Raises TimeoutError."""
        return await self._wait(lambda entry: entry.call == call and entry.type in types, timeout)

    async def follow(self, kafka: str) -> None:
        """Read until cancelled; waits for the topics and starts anew when the broker goes away."""
        while True:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=kafka,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=50,
                retry_backoff_ms=_BACKOFF_MS,
            )
            try:
                await await_topics(kafka, set(TOPIC_OF.values()))
                await consumer.start()
                consumer.assign(every_partition())
                while True:
                    for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                        await self._take([record.value for record in records])
            except (KafkaError, OSError):
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                await consumer.stop()

    async def _take(self, values: list[bytes]) -> None:
        async with self._changed:
            for value in values:
                try:
                    entry = Entry.from_kafka(value)
                except MalformedEntry:
                    continue
                if (entry.stream, entry.seq) not in self._entries:
                    self._entries[entry.stream, entry.seq] = entry
                    self._tell(entry)
            self._changed.notify_all()

    async def _wait(self, matches: Callable[[Entry], bool], timeout: float) -> Entry:
        async with asyncio.timeout(timeout), self._changed:
            while True:
                found = [entry for entry in self._entries.values() if matches(entry)]
                if found:
                    return min(found, key=lambda entry: entry.index)
                await self._changed.wait()


@asynccontextmanager
async def following(kafka: str, tell: Callable[[Entry], None]) -> AsyncIterator[CallFollower]:
    """A follower that reads while the context lasts."""
    follower = CallFollower(tell)
    task = asyncio.create_task(follower.follow(kafka), name="follow calls")
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
