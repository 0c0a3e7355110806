"""The consent-ledger's door, as far as notices need it."""

from __future__ import annotations

import grpc.aio
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as rpc
from onrecord.contracts.event import Event
from onrecord.platform import facts
from onrecord.platform.errors import Refused
from onrecord.platform.grpc import reason_of

COMMIT_SECONDS = 10.0
"""How long a notice's fact is offered to a ledger that does not answer."""


class Ledger:
    """Commits facts one by one; the ledger itself gathers those that wait."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """`channel` leads to the consent-ledger."""
        self._stub = rpc.LedgerStub(channel)

    async def commit(self, event: Event) -> None:
        """Return when the fact is in the log; idempotent by event id.

        Raises Unavailable without a definite answer in 10 s, Refused when the ledger says no.
        """
        try:
            await facts.append(self._stub, [event], COMMIT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise Refused(reason_of(error), error.details() or "") from error
