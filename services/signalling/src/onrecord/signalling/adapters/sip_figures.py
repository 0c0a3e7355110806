"""What an operator sees of SIP: requests, transactions, dialogs, streams, and drops by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from onrecord.platform.telemetry import meter
from onrecord.sip.aio import SipSockets
from onrecord.sip.endpoint import Endpoint
from opentelemetry.metrics import CallbackOptions, Observation


def offer_figures(endpoint: Endpoint, sockets: SipSockets) -> None:
    """Offer the figures of both as metrics, read when somebody asks."""
    _count("onrecord_sip_requests", "requests read, by method", "method", lambda: endpoint.received)
    _count(
        "onrecord_sip_events",
        "messages dropped or refused, streams ended and opened, by reason",
        "reason",
        lambda: endpoint.dropped + sockets.counts,
    )
    for name, description, value in (
        ("onrecord_sip_transactions", "open transactions", lambda: endpoint.transactions),
        ("onrecord_sip_dialogs", "dialogs, early ones too", lambda: endpoint.dialogs),
        ("onrecord_sip_connections", "TCP and TLS streams", lambda: sockets.connections),
        ("onrecord_sip_retransmissions", "messages sent again", lambda: endpoint.retransmissions),
    ):
        _watch(name, description, value)


def _watch(name: str, description: str, value: Callable[[], int]) -> None:
    def observe(_options: CallbackOptions) -> list[Observation]:
        return [Observation(value())]

    meter().create_observable_gauge(name, [observe], description=description)


def _count(name: str, description: str, label: str, values: Callable[[], Counter[str]]) -> None:
    def observe(_options: CallbackOptions) -> list[Observation]:
        return [Observation(number, {label: key}) for key, number in values().items()]

    meter().create_observable_counter(name, [observe], description=description)
