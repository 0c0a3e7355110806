"""Which facts the recorder reacts to."""

from __future__ import annotations

from onrecord.contracts.entry import Entry
from onrecord.contracts.events import CallEnded
from onrecord.contracts.topics import CALLS
from onrecord.media_recorder.operations import Operations
from onrecord.platform.kafka import Subscription


def subscriptions(operations: Operations) -> list[Subscription]:
    """The table: `call.ended` closes what signalling could not close itself."""

    async def close(entry: Entry) -> None:
        await operations.close(entry.call)

    return [Subscription(CALLS, frozenset({CallEnded.TYPE}), close)]
