"""The ring between the mover and the writer: captured packets in shared memory.

One mover puts records at the head, one writer reads them and moves the tail; neither waits for the
other. The memory is a memfd, so that it outlives the writer: whoever attaches next goes on at the
tail. Layout (native byte order, both processes run on one machine):

    0    magic, capacity, number of slots (u64 each)
    64   head: bytes ever put (u64)          128  tail: bytes ever given back (u64)
    4096 slots: per flow, the position up to which its records were written or dropped (u64 each)
    …    data: `capacity` bytes, a record never straddles the end

A position is a count of bytes that never wraps; its place is the remainder by the capacity. A slot
tells the successor of a killed writer what was written, although the tail waits for the slowest
call.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from typing import Final, Self

from onrecord.media_recorder.domain.record import SLOTS, Kind, Record

MAGIC: Final = 0x31474E4952524F
_PAGE = 4096
_HEAD, _TAIL = 8, 16
# length, crc32, kind, payload type, payload length, flow, ssrc, timestamp, sequence, arrival
_RECORD = struct.Struct("=IIBBHIIIQQ")
_LENGTH_AND_CHECK = struct.Struct("=II")


class RingDamaged(Exception):
    """The bytes at a position are not a record: a fault of memory or of another process."""


class Ring:
    """One shared ring, seen from either side. Not thread-safe within a process."""

    def __init__(self, descriptor: int, octets: int) -> None:
        """Map memory that `create` made; `attach` finds its size."""
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, octets)
        self._view = memoryview(self._map)
        self._words = self._view[:_PAGE].cast("Q")

    @classmethod
    def create(cls, capacity: int, slots: int = SLOTS) -> Self:
        """Make an empty ring of `capacity` bytes (rounded up to whole pages)."""
        capacity = -(-capacity // _PAGE) * _PAGE
        octets = _PAGE + slots * 8 + capacity
        descriptor = os.memfd_create("onrecord-ring", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, octets)
        ring = cls(descriptor, octets)
        ring._words[0], ring._words[1], ring._words[2] = MAGIC, capacity, slots
        return ring._open()

    @classmethod
    def attach(cls, descriptor: int) -> Self:
        """Map the ring behind a descriptor; `RingDamaged` if it is none."""
        octets = os.fstat(descriptor).st_size
        ring = cls(descriptor, octets)
        capacity, slots = ring._words[1], ring._words[2]
        if ring._words[0] != MAGIC or octets != _PAGE + slots * 8 + capacity:
            raise RingDamaged("the shared memory is not a ring of this version")
        return ring._open()

    def _open(self) -> Self:
        self.capacity = self._words[1]
        data = _PAGE + self._words[2] * 8
        self._slots = self._view[_PAGE:data].cast("Q")
        self._data = self._view[data:]
        return self

    @property
    def map(self) -> mmap.mmap:
        """The mapping, to be locked in memory."""
        return self._map

    @property
    def head(self) -> int:
        """Where the next record will be put."""
        return self._words[_HEAD]

    @property
    def tail(self) -> int:
        """Where reading goes on after a restart: everything before was written or dropped."""
        return self._words[_TAIL]

    @tail.setter
    def tail(self, position: int) -> None:
        self._words[_TAIL] = position

    def decided(self, flow: int) -> int:
        """Give the position before which every record of this flow was written or dropped."""
        return self._slots[flow % len(self._slots)]

    def decide(self, flow: int, position: int) -> None:
        """Say that every record of this flow before `position` was written or dropped."""
        self._slots[flow % len(self._slots)] = position

    def put(self, record: Record) -> bool:
        """Put a record at the head; False, and nothing put, if there is no room."""
        need = -(-(_RECORD.size + len(record.payload)) // 8) * 8
        head = self._words[_HEAD]
        place = head % self.capacity
        left = self.capacity - place
        wasted = left if left < need else 0
        if head + wasted + need - self._words[_TAIL] > self.capacity:
            return False
        if wasted:
            _LENGTH_AND_CHECK.pack_into(self._data, place, wasted, Kind.FILLER)
            place = 0
        self._write(place, need, record)
        # The head moves last: a mover killed before this line has put nothing.
        self._words[_HEAD] = head + wasted + need
        return True

    def read(self, position: int, limit: int) -> tuple[list[tuple[int, Record]], int]:
        """Give up to `limit` records from `position` on, each with its place, and where to go on.

        Nothing is given back by reading; moving the tail does that. Raises `RingDamaged`.
        """
        records: list[tuple[int, Record]] = []
        head = self._words[_HEAD]
        while position < head and len(records) < limit:
            length, record = self._record_at(position, head)
            if record is not None:
                records.append((position, record))
            position += length
        return records, position

    def _write(self, place: int, need: int, record: Record) -> None:
        flow, kind, payload_type, ssrc, sequence, timestamp, arrival, payload = record
        fields = (kind, payload_type, len(payload), flow, ssrc, timestamp, sequence, arrival)
        raw = _RECORD.pack(need, 0, *fields) + payload
        self._data[place : place + len(raw)] = raw
        _LENGTH_AND_CHECK.pack_into(self._data, place, need, zlib.crc32(raw))

    def _record_at(self, position: int, head: int) -> tuple[int, Record | None]:
        place = position % self.capacity
        length, check = _LENGTH_AND_CHECK.unpack_from(self._data, place)
        if length % 8 or not 8 <= length <= min(head - position, self.capacity - place):
            raise RingDamaged(f"a record at {position} says {length} bytes")
        # A filler reaches exactly to the end and may be shorter than any record.
        if check == Kind.FILLER and place + length == self.capacity:
            return length, None
        return length, self._decode(position, place, length, check)

    def _decode(self, position: int, place: int, length: int, check: int) -> Record:
        if length < _RECORD.size:
            raise RingDamaged(f"a record at {position} is {length} bytes")
        raw = bytearray(self._data[place : place + length])
        raw[4:8] = bytes(4)
        _, _, kind, payload_type, octets, flow, ssrc, timestamp, sequence, arrival = (
            _RECORD.unpack_from(raw)
        )
        end = _RECORD.size + octets
        if end > length or zlib.crc32(raw[:end]) != check or kind not in tuple(Kind)[1:]:
            raise RingDamaged(f"the record at {position} fails its check")
        payload = bytes(raw[_RECORD.size : end])
        return Record(flow, Kind(kind), payload_type, ssrc, sequence, timestamp, arrival, payload)
