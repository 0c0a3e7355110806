"""What waits for a permit: outside the ring, whose tail it would keep back for every call.

It is in the mover's memory, so that it outlives a writer, and nowhere else. A permit has it put
into the ring; a stop, or its time, ends it. What waited too long is told when the permit comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from onrecord.media_recorder.domain.record import Kind, Record
from onrecord.media_recorder.mover.tee import Losses, Tee

# Twice as many as a telephone sends (RFC 3551 §4.2: 20 ms each): a flood ends here.
MAX_PER_SECOND: Final = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a packet waits, in seconds: one of a person, and one that a person was played."""

    person: float = 2.0
    played: float = 30.0


@dataclass(slots=True)
class _Queue:
    """One flow's records with their times, oldest first, and what waited too long."""

    seconds: float
    records: deque[tuple[float, Record]] = field(default_factory=deque)
    expired: Losses = field(default_factory=Losses)

    def expire(self, now: float) -> None:
        limit = self.seconds * MAX_PER_SECOND
        while self.records and (
            now - self.records[0][0] > self.seconds or len(self.records) > limit
        ):
            self.expired.note(self.records.popleft()[1], Kind.EXPIRED)


class Holding:
    """Holds records flow by flow; `now` is monotonic, in seconds."""

    def __init__(self, tee: Tee) -> None:
        """What is released goes to `tee`."""
        self._tee = tee
        self._queues: dict[int, _Queue] = {}

    def put(self, record: Record, now: float, seconds: float) -> None:
        """Hold a record for so long."""
        queue = self._queues.get(record.flow)
        if queue is None:
            queue = self._queues[record.flow] = _Queue(seconds)
        queue.records.append((now, record))
        queue.expire(now)

    def release(self, flow: int, now: float) -> int:
        """Put what waits of a flow into the ring, after word of what waited too long.

        Gives how many records found no room there.
        """
        queue = self._queues.pop(flow, None)
        if queue is None:
            return 0
        queue.expire(now)
        self._tee.tell(flow, queue.expired)
        return sum(not self._tee.put(record) for _, record in queue.records)

    def expire(self, now: float) -> None:
        """Drop what has waited too long, also where nothing newer came."""
        for queue in self._queues.values():
            queue.expire(now)

    def drop_sources(self, flow: int, ssrcs: Collection[int]) -> None:
        """Drop what waits of these sources of a flow, unsaid."""
        queue = self._queues.get(flow)
        if queue is not None and ssrcs:
            queue.records = deque(one for one in queue.records if one[1].ssrc not in ssrcs)

    def drop(self, flow: int) -> None:
        """Drop what waits of a flow, unsaid."""
        self._queues.pop(flow, None)
