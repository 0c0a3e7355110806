"""The composition root of the announcement service: the only file that knows all of it."""

from __future__ import annotations

from onrecord.announcement.adapters.catalogue import load_prompts
from onrecord.announcement.adapters.ledger import Ledger
from onrecord.announcement.adapters.recorders import Recorders
from onrecord.announcement.announcer import Announcer
from onrecord.announcement.rpc import AnnouncementServicer
from onrecord.announcement.settings import AnnouncementSettings
from onrecord.announcement.subscriptions import VerdictCount, subscriptions
from onrecord.api.announcement.v1 import announcement_pb2 as pb
from onrecord.api.announcement.v1 import announcement_pb2_grpc as stubs
from onrecord.platform.clock import utc_now
from onrecord.platform.lifecycle import Chassis, Service

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["Announcement"].full_name


def build(settings: AnnouncementSettings, chassis: Chassis) -> Service:
    """Compose the service. Raises PromptFault when a prompt is not the approved one."""
    prompts = load_prompts(settings.prompts)
    announcer = Announcer(
        prompts, Recorders(chassis.channel), Ledger(chassis.channel(settings.ledger)), utc_now
    )
    servicer = AnnouncementServicer(announcer, prompts)
    return Service(
        rpc=[(stubs.add_AnnouncementServicer_to_server, servicer, SERVICE_NAME)],
        subscriptions=subscriptions(VerdictCount()),
        stop=announcer.finish,
    )
