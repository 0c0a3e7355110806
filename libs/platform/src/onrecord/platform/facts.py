"""How facts reach the ledger: at once where the caller can wait, by the journal where it cannot."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
from collections import Counter, deque
from collections.abc import Sequence

import grpc
import grpc.aio
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as rpc
from onrecord.contracts.event import Event
from onrecord.contracts.registry import fact_class
from onrecord.platform.clock import monotonic
from onrecord.platform.errors import Unavailable
from onrecord.platform.grpc import RETRYABLE
from onrecord.platform.journal import Journal
from onrecord.platform.telemetry import continued, get_logger, traceparent
from pydantic_core import to_json

log = get_logger()

BATCH = 50
APPEND_TIMEOUT = 5.0
SYNC_SECONDS = 0.2
REFUSALS = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION})
"""Statuses that are about the fact itself. Any other is about who asks or who answers, such as a
wrong certificate or a fault of the ledger's: the facts wait until it is mended."""
MAX_REFUSED = 1000
"""Refused facts that are remembered by name; whoever asks does so as soon as they are drained."""


def to_wire(event: Event) -> pb.Event:
    """The event as the ledger's door takes it, in clear."""
    return pb.Event(
        event_id=event.event_id,
        type=event.type,
        stream=event.stream,
        call=event.call,
        time=event.time,
        fields_json=event.fact.model_dump_json(exclude_none=True),
        traceparent=event.traceparent or traceparent(),
    )


async def append(
    ledger: rpc.LedgerAsyncStub, events: Sequence[Event], timeout: float
) -> list[pb.Committed]:
    """Append and wait until all are committed, repeating the same ids until a definite answer.

    Raises Unavailable when `timeout` seconds pass without one: the events may then be committed or
    not. Raises grpc.aio.AioRpcError when the ledger refuses them.
    """
    request = pb.AppendRequest(events=[to_wire(event) for event in events])
    deadline = monotonic() + timeout
    delay = 0.05
    while (left := deadline - monotonic()) > 0:
        try:
            reply = await ledger.Append(request, timeout=min(left, APPEND_TIMEOUT))
            return list(reply.entries)
        except grpc.aio.AioRpcError as error:
            if error.code() not in RETRYABLE:
                raise
        await asyncio.sleep(min(delay, max(0.0, deadline - monotonic())))
        delay = min(delay * 2, 1.0)
    raise Unavailable("ledger_unavailable", f"no answer within {timeout:g} s")


class FactWriter:
    """Journals facts at once and brings them to the ledger in the order written.

    Call set-up never waits for the ledger; whoever needs a call's facts committed awaits `drained`.
    A fact that the ledger refuses for its own sake is logged as an error, counted and given up: it
    would hold up all that follow. Whoever is to act on a fact being in the log asks `was_refused`.
    """

    def __init__(self, journal: Journal, ledger: rpc.LedgerAsyncStub) -> None:
        """Facts that an earlier process left in the journal come first."""
        self._journal = journal
        self._ledger = ledger
        self._queue: deque[tuple[int, Event]] = deque()
        self._open_calls: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._wake = asyncio.Event()
        self._batch_size = BATCH
        self.refused = 0
        self._refused: dict[str, None] = {}
        for position, record in journal.pending():
            self._enqueue(position, _from_journal(record))

    def __len__(self) -> int:
        """How many facts the ledger has not acknowledged."""
        return len(self._queue)

    def record(self, event: Event) -> None:
        """Write the fact to the journal and return. Raises Overloaded, OSError."""
        traced = dataclasses.replace(event, traceparent=event.traceparent or traceparent())
        self._enqueue(self._journal.append(_to_journal(traced)), traced)

    async def drained(self, call: str, timeout: float) -> None:
        """Wait until the ledger took or refused all facts of this call. Raises TimeoutError."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: not self._open_calls[call])
            del self._open_calls[call]

    def was_refused(self, event_id: str) -> bool:
        """Say whether the ledger refused this fact for good, when it was recorded last."""
        return event_id in self._refused

    async def run(self) -> None:
        """Bring facts to the ledger until cancelled."""
        delay = 0.05
        while True:
            await self._wake.wait()
            if await self._send_batch():
                delay = 0.05
            else:
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    async def run_sync(self) -> None:
        """Force the journal to the disk every 200 ms while facts wait, until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(SYNC_SECONDS)
            await asyncio.to_thread(self._journal.sync)

    def _enqueue(self, position: int, event: Event) -> None:
        self._queue.append((position, event))
        self._open_calls[event.call] += 1
        self._wake.set()

    async def _send_batch(self) -> bool:
        """Send the oldest facts; False when the ledger gave no definite answer."""
        oldest = self._queue[0][1]
        first = itertools.islice(self._queue, self._batch_size)
        # One trace a request: the ledger's span then belongs to the call that caused the facts.
        batch = list(itertools.takewhile(lambda item: _cause(item[1]) == _cause(oldest), first))
        with continued(oldest.traceparent, oldest.call):
            try:
                request = pb.AppendRequest(events=[to_wire(event) for _, event in batch])
                await self._ledger.Append(request, timeout=APPEND_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                if error.code() not in REFUSALS:
                    if error.code() not in RETRYABLE:
                        log.error("facts wait", why=error.code().name, waiting=len(self))
                    return False
                if len(batch) > 1:
                    # One of them is refused: singly, the others do not suffer for it.
                    self._batch_size = 1
                    return True
                self._note_refusal(oldest, str(error.details()))
            else:
                for _, event in batch:
                    self._refused.pop(event.event_id, None)
        self._batch_size = BATCH
        await self._acknowledge(batch)
        return True

    def _note_refusal(self, event: Event, why: str) -> None:
        self.refused += 1
        self._refused[event.event_id] = None
        if len(self._refused) > MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        log.error("fact refused", event_id=event.event_id, why=why)

    async def _acknowledge(self, batch: Sequence[tuple[int, Event]]) -> None:
        for position, event in batch:
            self._queue.popleft()
            self._journal.acknowledge(position)
            self._open_calls[event.call] -= 1
            if not self._open_calls[event.call]:
                del self._open_calls[event.call]
        if not self._queue:
            self._wake.clear()
        async with self._changed:
            self._changed.notify_all()


def _cause(event: Event) -> tuple[str, str]:
    return event.traceparent, event.call


def _to_journal(event: Event) -> bytes:
    envelope = {
        "event_id": event.event_id,
        "type": event.type,
        "stream": event.stream,
        "call": event.call,
        "time": event.time,
        "traceparent": event.traceparent,
        "fields": event.fact,
    }
    return to_json(envelope, exclude_none=True)


def _from_journal(record: bytes) -> Event:
    envelope = json.loads(record)
    return Event(
        event_id=envelope["event_id"],
        stream=envelope["stream"],
        call=envelope["call"],
        time=envelope["time"],
        fact=fact_class(envelope["type"]).model_validate(envelope["fields"]),
        traceparent=envelope["traceparent"],
    )
