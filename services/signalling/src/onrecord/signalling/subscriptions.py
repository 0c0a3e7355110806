"""The events that signalling reacts to."""

from __future__ import annotations

from onrecord.contracts.entry import Entry
from onrecord.contracts.events import RecordingFailed
from onrecord.contracts.topics import CALLS
from onrecord.platform.kafka import Subscription
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.switchboard import Switchboard


def subscriptions(switchboard: Switchboard) -> list[Subscription]:
    """The table: topic, event types, handler."""

    async def on_recording_failed(entry: Entry) -> None:
        """Go on or hang up, as the call's route says; a repeat finds the call moved on."""
        running = switchboard.calls.get(entry.call)
        if running is not None:
            switchboard.happen(running, on.RecordingFailed())

    return [Subscription(CALLS, frozenset({RecordingFailed.TYPE}), on_recording_failed)]
