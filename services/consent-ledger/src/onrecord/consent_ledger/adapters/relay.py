"""Feeds Kafka from the log, by index. Kafka is never the record: what it loses is sent again.

Delivery is at least once and in order per key. The broker may come back empty; that shows in an
offset lower than expected, and then everything is sent again from index 0. A marker record each
second asks the same question while nothing is to be sent, and first of all after a restart, which
goes on where the last note of the position stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.structs import RecordMetadata
from onrecord.consent_ledger.domain.entries import StoredEntry
from onrecord.consent_ledger.domain.record import to_record
from onrecord.consent_ledger.ports import EntryLog, Reached, RelayPosition, StoreUnavailable
from onrecord.consent_ledger.settings import LedgerSettings
from onrecord.consent_ledger.tail import follow
from onrecord.contracts.topics import PARTITIONS, TOPIC_OF
from onrecord.platform.clock import monotonic
from onrecord.platform.telemetry import get_logger, meter

log = get_logger()
published = meter().create_counter("onrecord_relay_records", description="records acknowledged")
resets = meter().create_counter("onrecord_relay_resets", description="brokers found empty")

MARKERS = "onrecord.relay"
"""The topic of the markers; its records mean nothing but their offset."""

CHECK_SECONDS = 1.0
REQUEST_SECONDS = 5.0
STOP_SECONDS = 2.0
LONGEST_DELAY = 5.0
MARKER_RETENTION = {"retention.ms": "3600000"}


class BrokerReset(Exception):
    """The broker gave an offset that it had given before: it has lost what was sent."""


class Relay:
    """Publishes the log. Run `run` as a task; it never delays an append."""

    def __init__(
        self,
        entries: EntryLog,
        position: RelayPosition,
        grown: asyncio.Event,
        settings: LedgerSettings,
    ) -> None:
        """`grown` is set by the appender after each commit."""
        self._log = entries
        self._position = position
        self._grown = grown
        self._settings = settings
        self._next_index = 0
        self._next_offsets: dict[str, int] = {}
        self._noted = Reached(0, {})
        self._checked = 0.0

    async def run(self) -> None:
        """Publish until cancelled; connects again with back-off."""
        if not self._settings.kafka:
            return
        await self._resume()
        delay = 0.1
        while True:
            before = self._next_index
            try:
                await self._publish()
            except BrokerReset as error:
                log.warning("broker is empty: sending everything again", where=str(error))
                resets.add(1)
                self._next_index = 0
                self._next_offsets.clear()
            except (KafkaError, OSError, TimeoutError) as error:
                delay = 0.1 if self._next_index != before else min(delay * 2, LONGEST_DELAY)
                log.warning("broker unavailable", error=repr(error), retry_in=delay)
                await asyncio.sleep(delay)

    async def _publish(self) -> None:
        """Send pages until the broker fails or turns out to be empty."""
        await self._create_topics()
        producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.kafka,
            client_id=f"onrecord-relay-{self._settings.node}",
            acks="all",
            enable_idempotence=self._settings.kafka_idempotence,
            request_timeout_ms=round(REQUEST_SECONDS * 1000),
            retry_backoff_ms=100,
        )
        try:
            async with asyncio.timeout(REQUEST_SECONDS * 2):
                await producer.start()
            await self._check(producer)
            pages = follow(self._log, self._next_index, self._grown, CHECK_SECONDS)
            async with aclosing(pages):
                async for page in pages:
                    await self._send(producer, page)
                    if monotonic() - self._checked >= CHECK_SECONDS:
                        await self._check(producer)
                        await self._note()
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), STOP_SECONDS)

    async def _send(self, producer: AIOKafkaProducer, page: Sequence[StoredEntry]) -> None:
        futures = [
            await producer.send(one.topic, one.value, one.key, headers=list(one.headers))
            for one in map(to_record, page)
        ]
        for metadata in await asyncio.gather(*futures):
            self._expect(metadata)
        self._next_index += len(page)
        published.add(len(page))

    async def _check(self, producer: AIOKafkaProducer) -> None:
        self._checked = monotonic()
        self._expect(await producer.send_and_wait(MARKERS, str(self._next_index).encode()))

    def _expect(self, metadata: RecordMetadata) -> None:
        place = f"{metadata.topic}/{metadata.partition}"
        if metadata.offset < self._next_offsets.get(place, 0):
            raise BrokerReset(place)
        self._next_offsets[place] = metadata.offset + 1

    async def _resume(self) -> None:
        """Go on where an earlier process noted that it was."""
        while True:
            try:
                self._noted = await self._position.load(self._settings.kafka)
            except StoreUnavailable as error:
                log.warning("relay position unreadable", error=str(error))
                await asyncio.sleep(CHECK_SECONDS)
            else:
                self._next_index = self._noted.next_index
                self._next_offsets = dict(self._noted.next_offsets)
                return

    async def _note(self) -> None:
        """Note the position when it moved; a note that is lost only sends some records again."""
        if self._next_index == self._noted.next_index:
            return
        reached = Reached(self._next_index, dict(self._next_offsets))
        try:
            await self._position.save(self._settings.kafka, reached)
        except StoreUnavailable as error:
            log.warning("relay position not noted", error=str(error))
        else:
            self._noted = reached

    async def _create_topics(self) -> None:
        """Make the topics that are missing; what exists is left as it is."""
        admin = AIOKafkaAdminClient(
            bootstrap_servers=self._settings.kafka,
            request_timeout_ms=round(REQUEST_SECONDS * 1000),
        )
        try:
            async with asyncio.timeout(REQUEST_SECONDS * 2):
                await admin.start()
                missing = {*TOPIC_OF.values(), MARKERS}.difference(await admin.list_topics())
                if missing:
                    response = await admin.create_topics([self._topic(name) for name in missing])
                    _check_created(response.topic_errors)
        finally:
            await admin.close()

    def _topic(self, name: str) -> NewTopic:
        if name == MARKERS:
            return NewTopic(
                name, 1, self._settings.kafka_replication, topic_configs=MARKER_RETENTION
            )
        return NewTopic(name, PARTITIONS, self._settings.kafka_replication)


def _check_created(topic_errors: Sequence[Sequence[object]]) -> None:
    for name, code, *_ in topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"topic {name} was not created")
