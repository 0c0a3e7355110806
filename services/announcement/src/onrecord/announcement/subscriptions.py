"""The events that the announcement service reacts to."""

from __future__ import annotations

from collections import OrderedDict

from onrecord.contracts.entry import Entry
from onrecord.contracts.events import CallVerdict
from onrecord.contracts.topics import CALLS
from onrecord.platform.kafka import Subscription
from onrecord.platform.telemetry import meter

achieved = meter().create_counter(
    "onrecord_notices_achieved", description="verdicts of calls, by the weakest notice's grade"
)

REMEMBERED_CALLS = 100_000


class VerdictCount:
    """Counts what the notices achieved: each call's verdict once.

    A repeat is known among the last 100,000 calls. The numbers are this process's own, as any
    counter's are; the ledger holds the record.
    """

    def __init__(self) -> None:
        self._counted: OrderedDict[str, None] = OrderedDict()

    async def on_verdict(self, entry: Entry) -> None:
        """Count the verdict of a call."""
        if entry.call in self._counted:
            return
        self._counted[entry.call] = None
        if len(self._counted) > REMEMBERED_CALLS:
            self._counted.popitem(last=False)
        grade = entry.fields.get("weakest_grade") or "none"
        achieved.add(1, {"verdict": entry.fields["verdict"], "weakest_grade": grade})


def subscriptions(count: VerdictCount) -> list[Subscription]:
    """The table: topic, event types, handler."""
    return [Subscription(CALLS, frozenset({CallVerdict.TYPE}), count.on_verdict)]
