"""Which facts the recorder reacts to."""

from __future__ import annotations

from onrecord.contracts.entry import Entry
from onrecord.contracts.events import CallEnded, ObjectionMade
from onrecord.contracts.topics import CALLS
from onrecord.media_recorder.operations import Operations
from onrecord.platform.kafka import Subscription


def subscriptions(operations: Operations) -> list[Subscription]:
    """The table: close and stop what signalling could not close or stop itself."""

    async def close(entry: Entry) -> None:
        await operations.close(entry.call)

    async def stop(entry: Entry) -> None:
        await operations.objected(entry.call)

    return [
        Subscription(CALLS, frozenset({CallEnded.TYPE}), close),
        Subscription(CALLS, frozenset({ObjectionMade.TYPE}), stop),
    ]
