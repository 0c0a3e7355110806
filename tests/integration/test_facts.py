"""Facts reach the ledger each once and in the order written, whatever the ledger does meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import grpc
import grpc.aio
import pytest
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as rpc
from onrecord.contracts.event import Event, call_event
from onrecord.contracts.events import RecordingFailed
from onrecord.platform.errors import Unavailable
from onrecord.platform.facts import FactWriter, append
from onrecord.platform.journal import Journal

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def fact(n: int, call: str = "c1") -> Event:
    """The n-th fact of a call."""
    return call_event(call, RecordingFailed(cause="test"), NOON, str(n))


class Door(rpc.LedgerServicer):
    """A ledger that keeps ids in order, refuses what a test names, and can lose its replies."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.refuse: set[str] = set()
        self.lose_replies = 0
        self.broken: grpc.StatusCode | None = None

    async def Append(  # noqa: N802  # the name is the door's
        self, request: pb.AppendRequest, context: grpc.aio.ServicerContext
    ) -> pb.AppendResponse:
        """Commit whole requests; an id that is there already is not added again."""
        if self.broken is not None:
            broken, self.broken = self.broken, None
            await context.abort(broken, "broken by the test")
        if any(event.event_id in self.refuse for event in request.events):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused by the test")
        self.ids += [e.event_id for e in request.events if e.event_id not in self.ids]
        if self.lose_replies:
            self.lose_replies -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "reply lost")
        return pb.AppendResponse(
            entries=[pb.Committed(event_id=event.event_id) for event in request.events]
        )


@pytest.fixture
async def door() -> AsyncIterator[tuple[Door, str]]:
    """A running ledger door and its address."""
    servicer = Door()
    server = grpc.aio.server()
    rpc.add_LedgerServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield servicer, f"127.0.0.1:{port}"
    await server.stop(0)


@pytest.fixture
async def writer_of(tmp_path: Path) -> AsyncIterator[Callable[[str], FactWriter]]:
    """Make running writers on one journal file."""
    running: list[asyncio.Task[None]] = []
    channels: list[grpc.aio.Channel] = []

    def make(address: str) -> FactWriter:
        channels.append(grpc.aio.insecure_channel(address))
        writer = FactWriter(Journal(tmp_path / "j", bytes(32)), rpc.LedgerStub(channels[-1]))
        running.append(asyncio.create_task(writer.run()))
        return writer

    yield make
    for task in running:
        task.cancel()
    for channel in channels:
        await channel.close()


async def test_facts_arrive_once_and_in_order(
    door: tuple[Door, str], writer_of: Callable[[str], FactWriter]
) -> None:
    """Many facts, some replies lost on the way: each is there once, in the order written."""
    ledger, address = door
    ledger.lose_replies = 3
    writer = writer_of(address)
    for n in range(200):
        writer.record(fact(n))
    await writer.drained("c1", 10)
    assert ledger.ids == [fact(n).event_id for n in range(200)]
    assert len(writer) == 0


async def test_facts_of_a_dead_process_come_first(
    door: tuple[Door, str], writer_of: Callable[[str], FactWriter], tmp_path: Path
) -> None:
    """What an earlier process journaled and could not deliver is delivered before anything new."""
    channel = grpc.aio.insecure_channel("127.0.0.1:1")
    dead = FactWriter(Journal(tmp_path / "j", bytes(32)), rpc.LedgerStub(channel))
    dead.record(fact(0))
    dead.record(fact(1))
    await channel.close()
    ledger, address = door
    writer = writer_of(address)
    writer.record(fact(2))
    await writer.drained("c1", 10)
    assert ledger.ids == [fact(n).event_id for n in range(3)]


async def test_a_refused_fact_does_not_hold_up_the_others(
    door: tuple[Door, str], writer_of: Callable[[str], FactWriter]
) -> None:
    """One fact that can never be entered is given up and counted; all others arrive in order."""
    ledger, address = door
    ledger.refuse = {fact(2).event_id}
    writer = writer_of(address)
    for n in range(6):
        writer.record(fact(n))
    await writer.drained("c1", 10)
    assert ledger.ids == [fact(n).event_id for n in (0, 1, 3, 4, 5)]
    assert writer.refused == 1
    assert [n for n in range(6) if writer.was_refused(fact(n).event_id)] == [2]


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNIMPLEMENTED,
    ],
)
async def test_a_fact_is_given_up_for_its_own_sake_only(
    door: tuple[Door, str], writer_of: Callable[[str], FactWriter], status: grpc.StatusCode
) -> None:
    """A wrong certificate or a fault of the ledger's says nothing about the fact: it waits."""
    ledger, address = door
    ledger.broken = status
    writer = writer_of(address)
    writer.record(fact(0))
    await writer.drained("c1", 10)
    assert (ledger.ids, writer.refused) == ([fact(0).event_id], 0)


async def test_a_fact_that_is_taken_after_all_is_not_refused(
    door: tuple[Door, str], writer_of: Callable[[str], FactWriter]
) -> None:
    """Recorded again when the ledger has been mended, a fact counts as it was answered last."""
    ledger, address = door
    ledger.refuse = {fact(0).event_id}
    writer = writer_of(address)
    writer.record(fact(0))
    await writer.drained("c1", 10)
    ledger.refuse.clear()
    writer.record(fact(0))
    await writer.drained("c1", 10)
    assert ledger.ids == [fact(0).event_id]
    assert not writer.was_refused(fact(0).event_id)


async def test_waiting_for_a_dead_ledger_has_an_end(
    writer_of: Callable[[str], FactWriter],
) -> None:
    """`drained` ends by its deadline, and the fact stays in the journal."""
    writer = writer_of("127.0.0.1:1")
    writer.record(fact(0))
    with pytest.raises(TimeoutError):
        await writer.drained("c1", 0.2)
    assert len(writer) == 1


async def test_a_direct_append_repeats_until_it_is_answered(door: tuple[Door, str]) -> None:
    """A lost reply is asked for again with the same ids, and the fact stands there once."""
    ledger, address = door
    ledger.lose_replies = 2
    async with grpc.aio.insecure_channel(address) as channel:
        committed = await append(rpc.LedgerStub(channel), [fact(0), fact(1)], timeout=10)
    assert [entry.event_id for entry in committed] == ledger.ids
    assert ledger.ids == [fact(0).event_id, fact(1).event_id]


async def test_a_direct_append_to_a_dead_ledger_says_so() -> None:
    """Without an answer the outcome is unknown, and the error says which dependency it was."""
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(Unavailable, match="ledger_unavailable"):
            await append(rpc.LedgerStub(channel), [fact(0)], timeout=0.3)
