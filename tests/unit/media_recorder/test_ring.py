"""The ring loses nothing silently: over wraps, when full, when torn, and for a second reader."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.media_recorder.domain.record import Kind, Record, lost_record, lost_run
from onrecord.media_recorder.ring import Ring, RingDamaged


def record(sequence: int, payload: bytes = bytes(160)) -> Record:
    """One frame of flow 3."""
    return Record(3, Kind.FRAME, 0, 7, sequence, sequence * 160 % 2**32, 10**18, payload)


@given(st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 4)), max_size=60))
def test_records_come_out_as_they_went_in(steps: list[tuple[int, int]]) -> None:
    """Over many wraps, what was put is read once and in order; what found no room is refused."""
    ring, position, put, got = Ring.create(4096, 8), 0, [], []
    for size, reads in steps:
        if ring.put(record(len(put), os.urandom(size))):
            put.append(len(put))
        found, position = ring.read(position, reads)
        got += [one.sequence for _, one in found]
        ring.tail = position
    got += [one.sequence for _, one in ring.read(position, 1000)[0]]
    assert got == put


def test_full_ring_refuses_and_keeps_what_it_has() -> None:
    """Nothing is overwritten before its reader gave it back."""
    ring = Ring.create(4096, 8)
    count = 0
    while ring.put(record(count)):
        count += 1
    assert not ring.put(record(99))
    found, position = ring.read(0, 1000)
    assert [one.sequence for _, one in found] == list(range(count))
    ring.tail = position
    assert ring.put(record(count))


def test_another_process_goes_on_at_the_tail() -> None:
    """A reader that attaches anew finds the tail and the decided positions of the one before."""
    ring = Ring.create(8192, 8)
    for number in range(5):
        ring.put(record(number))
    found, _ = ring.read(0, 2)
    ring.tail = found[1][0]
    ring.decide(11, 4711)
    other = Ring.attach(os.dup(ring.descriptor))
    again, _ = other.read(other.tail, 100)
    assert [one.sequence for _, one in again] == [1, 2, 3, 4]
    assert other.decided(3) == 4711


def test_unfinished_record_is_not_seen() -> None:
    """Bytes beyond the head, as a mover killed while writing leaves them, do not exist."""
    ring = Ring.create(4096, 8)
    ring.put(record(1))
    ring._write(ring.head % ring.capacity, 200, record(2))
    assert [one.sequence for _, one in ring.read(0, 10)[0]] == [1]


@given(st.integers(0, 207), st.integers(1, 255))
def test_damage_is_found(place: int, change: int) -> None:
    """A changed byte of a record is an error or changes nothing that is read."""
    ring = Ring.create(4096, 8)
    ring.put(record(1, bytes(range(160))))
    ring._data[place] ^= change
    try:
        found, _ = ring.read(0, 10)
    except RingDamaged:
        return
    assert [one for _, one in found] == [record(1, bytes(range(160)))]


def test_memory_of_another_kind_is_refused() -> None:
    """Attaching to something that is no ring is a clear error."""
    descriptor = os.memfd_create("other")
    os.ftruncate(descriptor, 8192)
    with pytest.raises(RingDamaged, match="not a ring"):
        Ring.attach(descriptor)


def test_lost_run_round_trip() -> None:
    """A run of packets that found no room keeps its end and count."""
    assert lost_run(lost_record(record(5), Kind.LOST, 9, 4)) == (9, 4)
