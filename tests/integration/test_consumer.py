"""Consumers on a real broker: at least once, in order, and one bad event holds up nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from brokers import Broker, make_broker
from onrecord.contracts.entry import Entry
from onrecord.contracts.topics import CALLS
from onrecord.platform.errors import Unavailable
from onrecord.platform.kafka import TRIES, Handler, Subscription, consume
from onrecord.platform.settings import ServiceSettings

SECONDS = 40.0


@pytest.fixture
def broker(ports: Callable[[], int], tmp_path: Path) -> Iterator[Broker]:
    """A running empty broker, of the kind that this run is for."""
    broker = make_broker(ports, tmp_path)
    broker.start()
    yield broker
    broker.stop()


def record(seq: int, kind: str = "call.ended") -> bytes:
    """The value of a call's n-th record."""
    canonical = {
        "index": seq,
        "seq": seq,
        "stream": "call/c1",
        "call": "c1",
        "event_id": f"c1:{seq}",
        "type": kind,
        "time": "2026-11-23T12:00:00.000000Z",
        "recorded_at": "2026-11-23T12:00:00.000000Z",
        "fields": {},
        "sealed": {},
    }
    return json.dumps({"canonical": canonical, "sealed": {}}).encode()


async def publish(broker: Broker, *values: bytes) -> None:
    """Send records of one call, in order."""
    async with AIOKafkaProducer(bootstrap_servers=broker.address) as producer:
        for value in values:
            await producer.send_and_wait(CALLS, value, b"c1")


@contextlib.asynccontextmanager
async def consuming(
    broker: Broker, handler: Handler, types: frozenset[str] | None = None
) -> AsyncIterator[None]:
    """A consumer of all calls while the context lasts."""
    settings = ServiceSettings(
        kafka=broker.address, kafka_idempotence=broker.idempotence, drain_seconds=0.1
    )
    task = asyncio.create_task(
        consume("test", [Subscription(CALLS, types, handler)], settings), name="consume"
    )
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Handled:
    """What a handler was given, and a way to wait for it."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self._more = asyncio.Condition()

    async def note(self, entry: Entry) -> None:
        """Note an entry."""
        async with self._more:
            self.seqs.append(entry.seq)
            self._more.notify_all()

    async def until(self, seq: int) -> list[int]:
        """Wait for an entry; returns all so far."""
        async with asyncio.timeout(SECONDS), self._more:
            await self._more.wait_for(lambda: seq in self.seqs)
            return list(self.seqs)


async def test_what_is_no_entry_is_passed_over(broker: Broker) -> None:
    """Garbage, other JSON and an entry of another shape are skipped; the next event is handled."""
    handled = Handled()
    await publish(broker, b"\xff\x00garbage", b'{"a": 1}', b"[]", b"", record(0))
    async with consuming(broker, handled.note):
        assert await handled.until(0) == [0]


async def test_an_event_that_always_fails_is_given_up(broker: Broker) -> None:
    """A handler's own error is tried again twice; then the events behind it go on, in order."""
    handled, tries = Handled(), 0

    async def handler(entry: Entry) -> None:
        nonlocal tries
        if entry.seq == 1:
            tries += 1
            raise ZeroDivisionError
        await handled.note(entry)

    await publish(broker, *map(record, range(4)))
    async with consuming(broker, handler):
        assert await handled.until(3) == [0, 2, 3]
    assert tries == TRIES


async def test_an_event_waits_for_what_is_unavailable(broker: Broker) -> None:
    """While a dependency is away the same event comes again; nothing is lost or overtaken."""
    handled, refusals = Handled(), 0

    async def handler(entry: Entry) -> None:
        nonlocal refusals
        if entry.seq == 1 and refusals < 5:
            refusals += 1
            raise Unavailable("test_dependency")
        await handled.note(entry)

    await publish(broker, *map(record, range(4)))
    async with consuming(broker, handler):
        seqs = await handled.until(3)
    assert refusals == 5
    assert list(dict.fromkeys(seqs)) == [0, 1, 2, 3]


async def test_only_the_events_asked_for_are_handled(broker: Broker) -> None:
    """A subscription names its types; others pass by."""
    handled = Handled()
    await publish(
        broker, record(0, "call.started"), record(1), record(2, "call.answered"), record(3)
    )
    async with consuming(broker, handled.note, frozenset({"call.ended"})):
        assert await handled.until(3) == [1, 3]


async def test_an_event_in_flight_at_the_stop_comes_again(broker: Broker) -> None:
    """A consumer that is stopped before its handler ended has not acknowledged the event."""
    started, handled = asyncio.Event(), Handled()

    async def hang(_entry: Entry) -> None:
        started.set()
        await asyncio.Event().wait()

    await publish(broker, record(0))
    async with consuming(broker, hang):
        async with asyncio.timeout(SECONDS):
            await started.wait()
    async with consuming(broker, handled.note):
        assert await handled.until(0) == [0]
