"""The events that the retrieval service reacts to."""

from __future__ import annotations

from onrecord.contracts.topics import CALLS
from onrecord.platform.kafka import Subscription
from onrecord.retrieval.projector import Projector


def subscriptions(projector: Projector) -> list[Subscription]:
    """The table: topic, event types, handler. None: every event, because each is a fact to show."""
    return [Subscription(CALLS, None, projector.on_entry)]
