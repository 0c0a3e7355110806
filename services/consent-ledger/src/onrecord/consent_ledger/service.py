"""The composition root: the only file that knows every part of the consent ledger."""

from __future__ import annotations

import asyncio

from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as rpc
from onrecord.consent_ledger.adapters import mongo
from onrecord.consent_ledger.adapters.relay import Relay
from onrecord.consent_ledger.admissions import Admissions
from onrecord.consent_ledger.appender import Appender
from onrecord.consent_ledger.disclosure import Disclosure
from onrecord.consent_ledger.ports import StoreUnavailable
from onrecord.consent_ledger.rpc import SERVICE, LedgerServicer, Parts
from onrecord.consent_ledger.settings import LedgerSettings
from onrecord.consent_ledger.subscriptions import SUBSCRIPTIONS
from onrecord.consent_ledger.verdicts import Verdicts
from onrecord.ledger.keys import load_private_key
from onrecord.platform.lifecycle import Chassis, Service

HEALTH_SECONDS = 2.0


def build(settings: LedgerSettings, _chassis: Chassis) -> Service:
    """Put the ledger together.

    Raises OSError and SigningKeyError for the permit key; `start` raises StoreUnavailable when
    MongoDB does not answer and Damaged when its indexes are not what the log rests on.
    """
    key = load_private_key(settings.permit_private_key.read_bytes())
    client = mongo.connect(settings.mongo, settings.mongo_timeout)
    database = mongo.database(client)
    log, secrets = mongo.MongoLog(database), mongo.MongoSecrets(database)
    appender = Appender(log, capacity=settings.append_queue, patience=settings.append_seconds)
    admissions = Admissions(log, appender, secrets, key, settings.permit_seconds)
    verdicts = Verdicts(log, mongo.MongoVerdictPosition(database), appender, settings)
    relay = Relay(log, mongo.MongoRelayPosition(database), appender.subscribe(), settings)
    disclosure = Disclosure(log, appender, secrets)
    servicer = LedgerServicer(Parts(log, secrets, appender, admissions, disclosure, verdicts))
    health = StoreHealth(log)
    return Service(
        rpc=[(rpc.add_LedgerServicer_to_server, servicer, SERVICE)],
        subscriptions=SUBSCRIPTIONS,
        tasks=[appender.run, verdicts.run, relay.run, health.run],
        ready=health.reasons,
        start=lambda: mongo.prepare(database),
        stop=client.close,
    )


class StoreHealth:
    """Asks MongoDB every two seconds whether it answers; Kafka is not needed to be ready."""

    def __init__(self, log: mongo.MongoLog) -> None:
        self._log = log
        self._reason = ""

    def reasons(self) -> list[str]:
        """Why the ledger should not be given work now."""
        return [self._reason] if self._reason else []

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                await self._log.ping()
                self._reason = ""
            except StoreUnavailable as error:
                self._reason = f"mongo: {error}"
            await asyncio.sleep(HEALTH_SECONDS)
