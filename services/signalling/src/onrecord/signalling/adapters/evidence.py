"""The doors through which a call earns its permit: announcement and consent-ledger."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import grpc.aio
from onrecord.api.announcement.v1 import announcement_pb2 as announcement_pb
from onrecord.api.announcement.v1 import announcement_pb2_grpc as announcement_rpc
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger_pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as ledger_rpc
from onrecord.platform.facts import FactWriter
from onrecord.platform.grpc import reason_of
from onrecord.platform.telemetry import get_logger
from onrecord.policy import Decision
from onrecord.signalling.adapters.retry import ask
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on

log = get_logger()

RESTART_SECONDS = 1.5
"""How long a door that refuses connections is tried again: a restart takes about a second."""


class Announcer:
    """Has a call's notices given."""

    def __init__(self, channel: grpc.aio.Channel, seconds: float) -> None:
        """Wait at most `seconds` for all notices of a call."""
        self._announcement: announcement_rpc.AnnouncementAsyncStub = (
            announcement_rpc.AnnouncementStub(channel)
        )
        self._seconds = seconds

    async def announce(self, call_id: str, decision: Decision, media_address: str) -> on.Input:
        """Return `NoticesGiven`, or `Failed` when any party was not told.

        Raises grpc.aio.AioRpcError when nothing is known.
        """
        request = announcement_pb.AnnounceRequest(
            call_id=call_id,
            media_address=media_address,
            obligations=[
                announcement_pb.Obligation(
                    party=owed.party,
                    leg=owed.party,
                    method=owed.method,
                    language=owed.language,
                    acts=owed.acts,
                    purposes=owed.purposes,
                )
                for owed in decision.obligations
            ],
        )
        reply = await ask(
            self._announcement.Announce, request, seconds=self._seconds, retry=RESTART_SECONDS
        )
        missed = [result for result in reply.results if not result.given]
        for result in missed:
            log.warning("notice not given", call=call_id, party=result.party, reason=result.reason)
        if missed or len(reply.results) != len(decision.obligations):
            return on.Failed("notice_failed")
        return on.NoticesGiven(tuple(result.event_id for result in reply.results))


class Permits:
    """Asks the ledger for permits and names the running calls to it."""

    def __init__(
        self, ledger: ledger_rpc.LedgerAsyncStub, facts: FactWriter, seconds: float
    ) -> None:
        """Wait at most `seconds` for the call's facts, and as long again for the permit."""
        self._ledger = ledger
        self._facts = facts
        self._seconds = seconds

    async def request(self, call_id: str, media_node: str, effect: do.RequestPermit) -> on.Input:
        """Return `PermitGranted` or `Failed`, once the ledger has all facts of the call.

        Raises TimeoutError while facts are not committed, grpc.aio.AioRpcError without an answer.
        """
        await self._facts.drained(call_id, self._seconds)
        request = ledger_pb.RequestPermitRequest(
            call_id=call_id,
            permit_id=f"{call_id}:p{effect.number}",
            event_ids=effect.event_ids,
            media_node=media_node,
        )
        try:
            reply = await ask(
                self._ledger.RequestPermit, request, seconds=self._seconds, retry=RESTART_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            log.warning("permit lacks facts", call=call_id, reason=reason_of(error))
            return on.Failed("permit_refused")
        if reply.HasField("granted"):
            return on.PermitGranted(reply.granted)
        log.info("permit refused", call=call_id, reason=reply.refused.reason)
        return on.Failed("permit_refused")

    async def keep_alive(self, worker: str, call_ids: Sequence[str]) -> None:
        """Name the calls that this worker still has. Raises grpc.aio.AioRpcError."""
        request = ledger_pb.KeepAliveRequest(worker=worker, call_ids=call_ids)
        await ask(self._ledger.KeepAlive, request, seconds=self._seconds)
