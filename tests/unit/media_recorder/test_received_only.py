"""A recording session's streams in the mover's core: captured from the start, never answered."""

from __future__ import annotations

import pytest
from onrecord.ledger.permit import STREAMS
from onrecord.media_recorder.domain.record import Record
from onrecord.media_recorder.mover.call import Bridge, LegMedia, MoverRefused
from onrecord.media_recorder.mover.engine import Engine
from onrecord.rtp.packet import Packet, build

SOURCE = ("192.0.2.1", 4000)


class Ring:
    """What would be the ring: takes every record."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def put(self, record: Record) -> bool:
        """Take a record."""
        self.records.append(record)
        return True


def session(*legs: str) -> tuple[Engine, Ring]:
    """An engine with one recording session of these streams."""
    ring = Ring()
    engine = Engine(ring, lambda bits: 2**bits - 3)
    engine.open("c1", "tag", [LegMedia(leg, SOURCE, 0) for leg in legs], Bridge.NEVER, set())
    return engine, ring


def hear(engine: Engine, leg: str, sequence: int, ssrc: int = 7) -> object:
    """Let a packet arrive on a stream; gives what the mover would send because of it."""
    packet = build(Packet(0, sequence, sequence * 160, ssrc, b"a" * 160))
    return engine.receive(engine.flow("c1", leg).number, packet, SOURCE, 1.0, 10**9)


def test_a_stream_is_captured_from_its_first_packet_and_nothing_is_sent() -> None:
    """Two streams are not two parties: nobody hears the other through us."""
    engine, ring = session(*STREAMS[:2])
    assert [hear(engine, leg, 10) for leg in STREAMS[:2]] == [None, None]
    engine.permit("c1", STREAMS[:2], 1.0)
    assert [record.sequence for record in ring.records] == [10, 10]
    assert list(engine.tick(2.0, 2 * 10**9)) == []


def test_no_rule_joins_the_streams_later() -> None:
    """A permit lets frames be written; it does not let a recorder talk."""
    engine, _ = session(*STREAMS[:2])
    engine.permit("c1", STREAMS[:2], 1.0)
    engine.update("c1", [], None)
    assert hear(engine, "stream-0", 11) is None


def test_a_stream_that_comes_later_is_added() -> None:
    """A second line in a re-INVITE gets a flow of its own; those that were there keep theirs."""
    engine, ring = session("stream-0")
    before = engine.flow("c1", "stream-0").number
    engine.open("c1", "tag", [LegMedia(leg, SOURCE, 0) for leg in STREAMS[:2]], Bridge.NEVER, set())
    hear(engine, "stream-1", 5)
    engine.permit("c1", STREAMS[:2], 1.0)
    assert engine.flow("c1", "stream-0").number == before
    assert [record.flow for record in ring.records] == [engine.flow("c1", "stream-1").number]


def test_a_closed_session_gets_no_further_stream() -> None:
    """An offer that crosses the end opens no port."""
    engine, _ = session("stream-0")
    engine.close("c1", 0)
    with pytest.raises(MoverRefused, match="leg_closed"):
        engine.open("c1", "tag", [LegMedia("stream-1")], Bridge.NEVER, set())
    assert engine.idle


def test_what_waited_before_the_parties_were_told_is_dropped() -> None:
    """A permit that follows a statement finds only what came after it, whatever its positions."""
    engine, ring = session("stream-0")
    for sequence in range(100, 103):
        hear(engine, "stream-0", sequence)
    engine.told("c1")
    hear(engine, "stream-0", 103)
    engine.permit("c1", ["stream-0"], 1.0)
    assert [record.sequence for record in ring.records] == [103]


def test_what_was_sent_before_the_parties_were_told_and_comes_after_it_is_not_captured() -> None:
    """A permit names one source's position on a stream; two may be heard on it, in any order."""
    engine, ring = session("stream-0")
    hear(engine, "stream-0", 100, ssrc=8)
    hear(engine, "stream-0", 102, ssrc=8)
    hear(engine, "stream-0", 500)
    engine.told("c1")
    hear(engine, "stream-0", 101, ssrc=8)
    hear(engine, "stream-0", 103, ssrc=8)
    hear(engine, "stream-0", 501)
    engine.permit("c1", ["stream-0"], 1.0)
    assert [record.sequence for record in ring.records] == [103, 501]


def test_what_is_late_when_the_parties_are_told_again_is_kept_by_the_permit_that_stands() -> None:
    """A second statement takes nothing back of what is permitted."""
    engine, ring = session("stream-0")
    engine.permit("c1", ["stream-0"], 1.0)
    for sequence in (100, 102):
        hear(engine, "stream-0", sequence)
    engine.told("c1")
    hear(engine, "stream-0", 101)
    assert [record.sequence for record in ring.records] == [100, 102, 101]
