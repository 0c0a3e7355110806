"""The composition root of the retrieval service: the only file that knows all of it."""

from __future__ import annotations

from onrecord.api.retrieval.v1 import retrieval_pb2 as pb
from onrecord.api.retrieval.v1 import retrieval_pb2_grpc as stubs
from onrecord.platform.lifecycle import Chassis, Service
from onrecord.platform.objects import open_store
from onrecord.retrieval.adapters.index import CallIndex
from onrecord.retrieval.adapters.ledger import Ledger
from onrecord.retrieval.adapters.units import UnitReader
from onrecord.retrieval.health import IndexHealth
from onrecord.retrieval.playback import Playback
from onrecord.retrieval.projector import Projector
from onrecord.retrieval.rpc import RetrievalServicer
from onrecord.retrieval.settings import RetrievalSettings
from onrecord.retrieval.subscriptions import subscriptions

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["Retrieval"].full_name


def build(settings: RetrievalSettings, chassis: Chassis) -> Service:
    """Compose the service. Raises ValueError for an object store of an unknown kind."""
    index = CallIndex(settings.mongo)
    objects = open_store(settings.objects)
    ledger = Ledger(chassis.channel(settings.ledger))
    health = IndexHealth(index)
    servicer = RetrievalServicer(index, Playback(index, ledger, UnitReader(objects)))

    async def stop() -> None:
        await objects.close()
        await index.close()

    return Service(
        rpc=[(stubs.add_RetrievalServicer_to_server, servicer, SERVICE_NAME)],
        subscriptions=subscriptions(Projector(index, ledger)),
        tasks=[health.watch],
        ready=health.reasons,
        stop=stop,
    )
