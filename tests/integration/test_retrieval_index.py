"""The index on a real MongoDB server: folded once, found again, page by page."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from onrecord.contracts.entry import Entry
from onrecord.platform.errors import Unavailable
from onrecord.retrieval.adapters import index as module
from onrecord.retrieval.adapters.index import CallIndex
from onrecord.retrieval.domain.call import Call
from onrecord.retrieval.domain.fold import fold, timeline_fact
from onrecord.retrieval.domain.paging import Filters, Place
from onrecord.retrieval.projector import Projector
from unit.retrieval.factories import a_recorded_call, an_entry, moment

DEADLINE = 20


class Streams:
    """The ledger's streams."""

    def __init__(self, *logs: list[Entry]) -> None:
        self._streams = {entries[0].stream: entries for entries in logs}

    async def read(self, stream: str, from_seq: int) -> list[Entry]:
        """The entries of a stream from a seq on."""
        return self._streams[stream][from_seq:]


@pytest.fixture
async def index(mongo: str) -> AsyncIterator[CallIndex]:
    """An empty index on a real server."""
    made = CallIndex(mongo)
    await made.prepare()
    yield made
    await made.close()


def folded(entries: list[Entry]) -> Call:
    """The summary that the index must hold."""
    call = Call(entries[0].call)
    for entry in entries:
        call = fold(call, entry)
    return call


def begun(call: str, line: str, seconds: float) -> Entry:
    """A call's first fact, so many seconds after noon."""
    started = an_entry(call, 0, "call.started", direction="inbound", line=line)
    return replace(started, time=moment(seconds))


async def test_the_stored_document_is_the_fold_of_a_rewound_and_gapped_delivery(
    index: CallIndex,
) -> None:
    """I6 on the real server: out of order, repeated, missing, then all again."""
    entries = a_recorded_call()
    projector = Projector(index, Streams(entries))
    for seq in (0, 1, 1, 4, 2, 0, 8, 3, *range(9)):
        await projector.on_entry(entries[seq])
    assert await index.get("c1") == (folded(entries), tuple(map(timeline_fact, entries)))
    assert await index.summary("c1") == folded(entries)


async def test_rival_projectors_disturb_nothing(index: CallIndex) -> None:
    """Two consumers of one partition during a rebalance."""
    entries = a_recorded_call()
    rivals = [Projector(index, Streams(entries)) for _ in range(4)]

    async def deliver(projector: Projector) -> None:
        for entry in entries:
            await projector.on_entry(entry)

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*map(deliver, rivals))
    assert await index.get("c1") == (folded(entries), tuple(map(timeline_fact, entries)))


async def test_pages_joined_are_all_calls_newest_first_each_once(index: CallIndex) -> None:
    """Also when calls began in the same moment and others come in while somebody reads."""
    projector = Projector(index, Streams())
    for n in range(7):
        entry = an_entry(f"c{n}", 0, "call.started", direction="inbound", line="main")
        await projector.on_entry(entry)
    found: list[str] = []
    place: Place | None = None
    while page := await index.search(Filters(), place, 3):
        found += [call.call for call in page]
        place = Place(page[-1].started_at, page[-1].call)
        late = an_entry(f"z{len(found)}", 0, "call.started", line="main")
        await projector.on_entry(late)
    assert found == ["c6", "c5", "c4", "c3", "c2", "c1", "c0"]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (Filters(), ["c3", "c2", "c1"]),
        (Filters(verdict="recorded"), ["c2", "c1"]),
        (Filters(line="other"), ["c3"]),
        (Filters(started_from=moment(10)), ["c3", "c2"]),
        (Filters(started_to=moment(10)), ["c1"]),
        (Filters(started_from=moment(10), started_to=moment(20)), ["c2"]),
        (Filters(verdict="recorded", line="other"), []),
    ],
)
async def test_filters_narrow_the_search(
    index: CallIndex, filters: Filters, wanted: list[str]
) -> None:
    """Each alone and together; the end of a range is not in it."""
    logs = [
        [begun("c1", "main", 0), *a_recorded_call("c1")[1:]],
        [begun("c2", "main", 10), *a_recorded_call("c2")[1:]],
        [begun("c3", "other", 20)],
    ]
    projector = Projector(index, Streams(*logs))
    for entries in logs:
        await projector.on_entry(entries[-1])
    assert [call.call for call in await index.search(filters, None, 10)] == wanted


async def test_a_call_is_found_by_what_others_call_it(index: CallIndex) -> None:
    """A UCID as it is; a SIP Call-ID by its hash, which is all that the log has of it."""
    hashed = hashlib.sha256(b"leg-7@192.0.2.1").hexdigest()
    correlation = [{"kind": "gcid", "value": "241205267"}, {"kind": "sip_call_id", "value": hashed}]
    facts = [
        an_entry("c1", 0, "call.started", ucid="001900014E3E7D5C"),
        an_entry("c1", 1, "session.described", correlation=correlation),
    ]
    projector = Projector(index, Streams(facts, [begun("c2", "main", 0)]))
    await projector.on_entry(facts[-1])
    await projector.on_entry(begun("c2", "main", 0))
    for name in ("001900014E3E7D5C", "241205267", "leg-7@192.0.2.1"):
        found = await index.search(Filters(identifier=name), None, 10)
        assert [call.call for call in found] == ["c1"]
    assert await index.search(Filters(identifier="other"), None, 10) == []


async def test_a_document_that_went_away_is_not_begun_in_the_middle(index: CallIndex) -> None:
    """The index was dropped between reading and writing: the next try reads the whole stream."""
    entries = a_recorded_call()
    before, after = folded(entries[:4]), folded(entries[:5])
    assert not await index.advance(before, after, [timeline_fact(entries[4])])
    assert await index.get("c1") is None


async def test_what_is_not_there_is_none(index: CallIndex) -> None:
    """An unknown call is not an empty one."""
    assert await index.get("nobody") is None
    assert await index.summary("nobody") is None


async def test_a_server_that_does_not_answer_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The consumer then waits and asks again; nothing is lost."""
    monkeypatch.setattr(module, "TIMEOUT_MS", 100)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = CallIndex(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(Unavailable):
            await index.summary("c1")
        with pytest.raises(Unavailable):
            await index.ping()
        await index.close()
