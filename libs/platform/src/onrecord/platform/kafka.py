"""Subscriptions: which facts a service reacts to, and the consumers that bring them.

Delivery is at least once and in order within a stream; every handler is idempotent by
`(stream, seq)`. Kafka is never the record: what a handler misses it reads again from the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import grpc.aio
from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage
from faststream.kafka.opentelemetry.provider import KafkaTelemetrySettingsProvider
from faststream.message import StreamMessage
from faststream.opentelemetry import TelemetryMiddleware
from onrecord.contracts.entry import Entry, MalformedEntry
from onrecord.contracts.registry import ce_type
from onrecord.platform.errors import Unavailable
from onrecord.platform.grpc import RETRYABLE
from onrecord.platform.settings import ServiceSettings
from onrecord.platform.telemetry import get_logger, in_call, meter
from opentelemetry import trace

log = get_logger()
skipped = meter().create_counter("onrecord_events_skipped", description="events not handled")

Handler = Callable[[Entry], Awaitable[None]]
TRIES = 3
TOPICS_SECONDS = 0.1
METADATA_MS = 3000
"""How long partitions that were added go unnoticed; the client's own default is five minutes."""


@dataclass(frozen=True)
class Subscription:
    """One row of a service's table: on these events of this topic, call this handler.

    `event_types` None means all. A handler that raises `Unavailable` (or loses a connection) gets
    the same event again until it succeeds; any other error is retried twice, then skipped, counted
    and logged, so that one bad event does not hold up the rest.
    """

    topic: str
    event_types: frozenset[str] | None
    handler: Handler


async def consume(
    group: str, subscriptions: Sequence[Subscription], settings: ServiceSettings
) -> None:
    """Join the consumer group and handle events until cancelled; reconnects with back-off."""
    if not settings.kafka or not subscriptions:
        return
    delay = 0.2
    while True:
        broker = _broker(group, subscriptions, settings)
        try:
            await await_topics(settings.kafka, {row.topic for row in subscriptions})
            await broker.connect()
            await asyncio.gather(*(subscriber.start() for subscriber in broker.subscribers))
            log.info("consumer joined", group=group)
            await asyncio.Event().wait()
        except (KafkaError, OSError) as error:
            log.warning("consumer cannot join", group=group, error=repr(error), retry_in=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 5.0)
        finally:
            await broker.stop()


async def await_topics(kafka: str, topics: Collection[str]) -> None:
    """Wait until the ledger's relay has created these topics. Raises KafkaError, OSError.

    Whoever asks a broker for a topic by name may create it, with one partition in place of six: the
    relay would find it there and leave it so, and the other partitions would be waited for in vain.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        while True:
            if set(topics).issubset(await admin.list_topics()):
                return
            await asyncio.sleep(TOPICS_SECONDS)
    finally:
        await admin.close()


def _broker(
    group: str, subscriptions: Sequence[Subscription], settings: ServiceSettings
) -> KafkaBroker:
    broker = KafkaBroker(
        settings.kafka,
        client_id=f"{group}-{settings.node}",
        middlewares=[_spans(subscriptions)],
        logger=None,
        # A broker that came back empty may have other partitions than the ones assigned before.
        metadata_max_age_ms=METADATA_MS,
        graceful_timeout=settings.drain_seconds,
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
    )
    for topic in sorted({row.topic for row in subscriptions}):
        rows = [row for row in subscriptions if row.topic == topic]
        # The default policy commits before the handler ran and can lose the event in flight.
        subscriber = broker.subscriber(
            topic,
            group_id=group,
            title=f"{group}:{topic}",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            auto_offset_reset="earliest",
            session_timeout_ms=6000,
            heartbeat_interval_ms=500,
            fetch_max_wait_ms=50,
            no_reply=True,
        )
        subscriber(_receiver(group, rows))
    return broker


class _RecordAttributes(KafkaTelemetrySettingsProvider):
    """What a span says of its record; nothing of the key: it is octets, and names the call."""

    def get_consume_attrs_from_message(self, msg: StreamMessage[ConsumerRecord]) -> dict[str, Any]:
        attributes: dict[str, Any] = super().get_consume_attrs_from_message(msg)
        attributes.pop("messaging.kafka.message.key", None)
        return attributes


def _spans(subscriptions: Sequence[Subscription]) -> TelemetryMiddleware[Any]:
    """A span for each record that a handler is called for, in the trace of the record's cause."""

    def attributes(record: ConsumerRecord | None) -> _RecordAttributes | None:
        if record is None:
            return None
        kind = dict(record.headers).get("ce_type", b"").decode(errors="replace")
        is_wanted = any(
            row.event_types is None or kind in map(ce_type, row.event_types)
            for row in subscriptions
            if row.topic == record.topic
        )
        return _RecordAttributes() if is_wanted else None

    return TelemetryMiddleware(settings_provider_factory=attributes)


def _receiver(
    group: str, rows: Sequence[Subscription]
) -> Callable[[KafkaMessage], Awaitable[None]]:
    async def receive(message: KafkaMessage) -> None:
        try:
            entry = Entry.from_kafka(
                message.body, str((message.headers or {}).get("traceparent", ""))
            )
        except MalformedEntry as error:
            skipped.add(1, {"group": group, "reason": "malformed"})
            log.error("event skipped", group=group, reason="malformed", error=str(error))
            return
        wanted = [row for row in rows if row.event_types is None or entry.type in row.event_types]
        if not wanted:
            return
        trace.get_current_span().set_attribute("onrecord.event_type", entry.type)
        with in_call(entry.call):
            for row in wanted:
                await _handle(group, row.handler, entry)

    return receive


async def _handle(group: str, handler: Handler, entry: Entry) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            await handler(entry)
            return
        except (Unavailable, OSError):
            await asyncio.sleep(0.2)
            raise
        except grpc.aio.AioRpcError as error:
            if error.code() in RETRYABLE:
                await asyncio.sleep(0.2)
                raise
            log.warning("event refused", group=group, type=entry.type, error=str(error.code()))
        # One bad event must not stop a consumer for ever: it is counted, logged and passed over.
        except Exception:
            log.exception("event failed", group=group, type=entry.type, attempt=attempt)
    skipped.add(1, {"group": group, "reason": "handler"})
    log.error("event skipped", group=group, event_id=entry.event_id, index=entry.index)
