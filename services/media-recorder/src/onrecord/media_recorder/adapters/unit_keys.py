"""Unit keys, held in memory only: as they came with the permit, or asked of the ledger again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc.aio
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as rpc
from onrecord.ledger.permit import SignedPermit
from onrecord.platform.errors import Refused, Unavailable
from onrecord.platform.grpc import RETRYABLE

# One hour of four legs in units of a minute.
BATCH: Final = 240
# Asked for more when fewer are left: some minutes, so that a ledger that is down does not matter.
LOW: Final = 40
TIMEOUT: Final = 5.0


class UnitKeys:
    """Asks the ledger for a permit's keys; the same number is always the same key."""

    def __init__(self, ledger: rpc.LedgerAsyncStub) -> None:
        """Ask through this stub."""
        self._ledger = ledger

    async def fetch(self, signed: SignedPermit, first: int, count: int = BATCH) -> dict[int, bytes]:
        """Give keys by number.

        Raises `Unavailable` while the ledger does not answer, `Refused` if it will not give them.
        """
        request = pb.UnitKeysRequest(
            permit=pb.Permit(payload=signed.payload, signature=signed.signature),
            first=first,
            count=count,
        )
        try:
            reply = await self._ledger.UnitKeys(request, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            kind = Unavailable if error.code() in RETRYABLE else Refused
            reason = "keys_unavailable" if kind is Unavailable else "keys_refused"
            raise kind(reason, str(error.details())) from error
        return numbered(reply.unit_keys)


def numbered(keys: Iterable[pb.UnitKey]) -> dict[int, bytes]:
    """Give unit keys by the number in their name (`<permit id>/<number>`)."""
    return {int(key.key_ref.rpartition("/")[2]): key.key for key in keys}
