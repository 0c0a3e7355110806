"""Which events the ledger reacts to: none from the bus, because it folds its own log."""

from __future__ import annotations

from onrecord.platform.kafka import Subscription

SUBSCRIPTIONS: tuple[Subscription, ...] = ()
