"""The projection: a call's summary is the fold of its facts, however they are delivered (I6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.contracts.entry import Entry
from onrecord.platform.errors import Unavailable
from onrecord.retrieval.domain.call import Call, TimelineFact
from onrecord.retrieval.domain.fold import MAX_IDENTIFIERS, fold, timeline_fact
from onrecord.retrieval.projector import TRIES, Projector
from unit.retrieval.factories import a_recorded_call, an_entry, moment


def fold_all(entries: Sequence[Entry]) -> tuple[Call, tuple[TimelineFact, ...]]:
    """What the index must hold after these entries of one call."""
    call = Call(entries[0].call)
    for entry in entries:
        call = fold(call, entry)
    return call, tuple(timeline_fact(entry) for entry in entries)


@dataclass
class MemoryIndex:
    """The index; `rivals` lists how often another projector is first."""

    rivals: int = 0
    documents: dict[str, tuple[Call, tuple[TimelineFact, ...]]] = field(default_factory=dict)

    async def summary(self, call: str) -> Call | None:
        """What is known of the call."""
        found = self.documents.get(call)
        return found[0] if found else None

    async def advance(self, before: Call, after: Call, facts: Sequence[TimelineFact]) -> bool:
        """Compare and set by `last_seq`."""
        have, timeline = self.documents.get(before.call, (Call(before.call), ()))
        if self.rivals:
            # Another projector did just the same work a moment earlier.
            self.rivals -= 1
            self.documents[before.call] = after, (*timeline, *facts)
            return False
        if have.last_seq != before.last_seq:
            return False
        self.documents[before.call] = after, (*timeline, *facts)
        return True


@dataclass
class MemoryLog:
    """The ledger's streams; `reads` counts how often one was asked for."""

    streams: dict[str, list[Entry]]
    reads: int = 0

    async def read(self, stream: str, from_seq: int) -> list[Entry]:
        """The entries of the stream from a seq on."""
        self.reads += 1
        return self.streams.get(stream, [])[from_seq:]


def test_a_recorded_call_folds_to_what_a_supervisor_searches_by() -> None:
    """Times, direction, line, verdict, seconds kept and the weakest grade."""
    call, timeline = fold_all(a_recorded_call())
    assert call == Call(
        call="c1",
        last_seq=8,
        started_at=moment(0),
        answered_at=moment(2),
        ended_at=moment(6),
        end_cause="caller_hung_up",
        sip_code=200,
        kind="recorded",
        direction="inbound",
        line="main",
        business_unit="default",
        verdict="recorded",
        kept_seconds={"caller": 57.0, "agent": 56.5},
        weakest_grade="B",
    )
    assert call.longest_kept_seconds == 57.0
    assert not call.was_never_answered
    assert [fact.seq for fact in timeline] == list(range(9))


def test_what_we_played_is_no_voice_that_was_kept() -> None:
    """A call in which nobody sent audio has its notices in the recording, and no more."""
    verdict = an_entry("c1", 0, "call.verdict", verdict="recorded", kept_seconds={})
    verdict.fields["kept_seconds"] = {"service-caller": 5.1, "service-agent": 5.1}
    call, _ = fold_all([verdict])
    assert call.longest_kept_seconds == 0.0
    assert call.kept_seconds


def test_the_timeline_shows_open_fields_and_names_sealed_ones() -> None:
    """Nothing sealed is shown, and that there is something is not hidden."""
    fact = timeline_fact(a_recorded_call()[0])
    assert json.loads(fact.fields_json)["direction"] == "inbound"
    assert fact.sealed == ("caller_number",)


def test_an_amended_verdict_replaces_the_first() -> None:
    """The later finding is what the call is found by."""
    amended = an_entry(
        "c1", 9, "call.verdict_amended", verdict="partly_recorded", causes=["network"]
    )
    call, _ = fold_all([*a_recorded_call(), amended])
    assert (call.verdict, call.causes, call.kept_seconds) == ("partly_recorded", ("network",), {})


def test_a_call_whose_beginning_is_missing_is_dated_by_its_first_fact() -> None:
    """Signalling died with its journal: the call must still be found by time."""
    call, _ = fold_all([an_entry("c1", 0, "call.verdict", verdict="failed")])
    assert (call.started_at, call.verdict) == (moment(0), "failed")


def test_an_event_of_a_later_version_changes_nothing_but_the_place() -> None:
    """It stands in the timeline; the summary does not know it."""
    before, _ = fold_all(a_recorded_call())
    after = fold(before, an_entry("c1", 9, "call.transcribed", words=3))
    assert after == replace(before, last_seq=9)


@pytest.mark.parametrize(("call", "seq"), [("c1", 3), ("c1", 5), ("c2", 4)])
def test_only_the_streams_next_entry_is_folded(call: str, seq: int) -> None:
    """A repeat, a gap and another call's entry are errors of the caller."""
    before, _ = fold_all(a_recorded_call()[:4])
    with pytest.raises(ValueError, match="does not follow"):
        fold(before, an_entry(call, seq, "call.ended"))


LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=3)


@given(data=st.data(), lengths=LENGTHS, rivals=st.integers(0, TRIES - 1))
def test_i6_the_index_equals_the_fold_of_the_log(
    data: st.DataObject, lengths: list[int], rivals: int
) -> None:
    """I6: for any duplication, rewind, loss, interleaving and rival projector.

    Each call's last entry is delivered at least once; that is what at least once means.
    """
    logs = {f"c{n}": a_recorded_call(f"c{n}")[:length] for n, length in enumerate(lengths)}
    every = [entry for entries in logs.values() for entry in entries]
    delivered = data.draw(st.lists(st.sampled_from(every), max_size=40))
    delivered += [entries[-1] for entries in logs.values()]
    delivered += data.draw(st.lists(st.sampled_from(every), max_size=10))
    index = MemoryIndex(rivals)
    ledger = MemoryLog({f"call/{call}": entries for call, entries in logs.items()})
    projector = Projector(index, ledger)

    async def deliver() -> None:
        for entry in delivered:
            await projector.on_entry(entry)

    asyncio.run(deliver())
    assert index.documents == {call: fold_all(entries) for call, entries in logs.items()}


async def test_entries_in_order_are_folded_without_asking_the_ledger() -> None:
    """The topic is gapless within a call: reading again is for when it was not."""
    ledger = MemoryLog({})
    projector = Projector(MemoryIndex(), ledger)
    for entry in a_recorded_call():
        await projector.on_entry(entry)
    assert ledger.reads == 0


async def test_a_gap_that_the_ledger_cannot_fill_yet_asks_for_redelivery() -> None:
    """The entry came by the bus before this ledger replica has it."""
    index = MemoryIndex()
    projector = Projector(index, MemoryLog({"call/c1": a_recorded_call()[:2]}))
    with pytest.raises(Unavailable):
        await projector.on_entry(a_recorded_call()[3])
    assert index.documents == {}


async def test_a_projector_that_always_comes_second_asks_for_redelivery() -> None:
    """Nothing is lost: the entry comes again."""

    class Contended(MemoryIndex):
        async def advance(self, before: Call, after: Call, facts: Sequence[TimelineFact]) -> bool:
            """Never succeed."""
            return False

    with pytest.raises(Unavailable):
        await Projector(Contended(), MemoryLog({})).on_entry(a_recorded_call()[0])


def test_what_others_call_it_is_kept_once_and_not_without_end() -> None:
    """Each update of a recording session repeats its identifiers; a client may invent more."""
    call = fold(Call("c1"), an_entry("c1", 0, "call.started", ucid="U1", sip_call_id_hash="ab"))
    for seq in range(1, 4):
        values = [{"kind": "ucid", "value": f"U{n}"} for n in range(1, 40 * seq)]
        call = fold(call, an_entry("c1", seq, "session.described", correlation=values))
    assert call.identifiers[:3] == ("U1", "ab", "U2")
    assert len(call.identifiers) == len(set(call.identifiers)) == MAX_IDENTIFIERS
