"""The consent-ledger's door, as far as retrieval needs it."""

from __future__ import annotations

import grpc
import grpc.aio
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as rpc
from onrecord.contracts.entry import Entry
from onrecord.platform.errors import Denied, InvalidInput, NotFound, Refused, Unavailable
from onrecord.platform.grpc import reason_of
from onrecord.retrieval.domain.access import Access

PAGE = 1000
"""Entries in one reply of `Ledger.Read`."""

READ_SECONDS = 10.0
OPEN_SECONDS = 10.0

_ERRORS: dict[grpc.StatusCode, type[InvalidInput | NotFound | Denied | Refused]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
    grpc.StatusCode.FAILED_PRECONDITION: Refused,
}


class Ledger:
    """Reads streams and opens audio. Every method raises Unavailable without a definite answer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """`channel` leads to the consent-ledger."""
        self._stub = rpc.LedgerStub(channel)

    async def read(self, stream: str, from_seq: int) -> list[Entry]:
        """The committed entries of a stream from a seq on, in order."""
        found: list[Entry] = []
        while page := await self._page(pb.ReadRequest(stream=stream, from_seq=from_seq)):
            found += page
            from_seq = page[-1].seq + 1
            if len(page) < PAGE:
                break
        return found

    async def _page(self, request: pb.ReadRequest) -> list[Entry]:
        try:
            return [
                Entry.from_canonical(found.canonical, dict(found.sealed), found.traceparent)
                async for found in self._stub.Read(request, timeout=READ_SECONDS)
            ]
        except grpc.aio.AioRpcError as error:
            raise Unavailable("ledger_unavailable", error.details() or "") from error

    async def open_audio(self, access: Access) -> dict[str, bytes]:
        """Commit the access; then, and only then, return the unit keys by their reference.

        Raises InvalidInput, NotFound, Denied or Refused as the ledger does.
        """
        request = pb.OpenRequest(
            audio=pb.OpenAudio(call_id=access.call, format="wav"),
            purpose=access.purpose,
            person=access.person,
            role=access.role,
            request_id=access.request_id,
        )
        try:
            reply = await self._stub.Open(request, timeout=OPEN_SECONDS)
        except grpc.aio.AioRpcError as error:
            kind = _ERRORS.get(error.code(), Unavailable)
            raise kind(reason_of(error), error.details() or "") from error
        if reply.entry.event_id == "":
            raise Unavailable("access_not_committed", "the ledger named no entry")
        return {unit.key_ref: unit.key for unit in reply.unit_keys}
