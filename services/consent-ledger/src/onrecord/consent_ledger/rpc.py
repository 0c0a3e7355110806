"""The gRPC door `Ledger`: messages in, use cases called, refusals mapped to statuses."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as rpc
from onrecord.consent_ledger.admissions import Admissions
from onrecord.consent_ledger.appender import Appender
from onrecord.consent_ledger.disclosure import Asker, Disclosure
from onrecord.consent_ledger.domain.admission import BadRequest, PermitRequest
from onrecord.consent_ledger.domain.entries import StoredEntry, draft, sealing_keys
from onrecord.consent_ledger.domain.errors import (
    BadEvent,
    Conflict,
    FactsMissing,
    ForeignFact,
    LedgerRefusal,
    RecordingComplete,
)
from onrecord.consent_ledger.domain.intake import check_appender, read_event
from onrecord.consent_ledger.ports import EntryLog, Secrets, StoreUnavailable
from onrecord.consent_ledger.verdicts import Verdicts
from onrecord.contracts.event import Event
from onrecord.ledger.instant import format_time
from onrecord.ledger.permit import SignedPermit
from onrecord.platform.errors import Denied, InvalidInput, PlatformError, Refused, Unavailable
from onrecord.platform.peer import only, peer_of

Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "onrecord.api.consent_ledger.v1.Ledger"
MAX_EVENTS = 500
MAX_PAGE = 1000
LAST_INDEX = 2**53
"""Beyond it an integer is not exact in every JSON reader (RFC 8785)."""

_STATUS_OF: dict[type[LedgerRefusal], type[PlatformError]] = {
    BadEvent: InvalidInput,
    BadRequest: InvalidInput,
    Conflict: InvalidInput,
    FactsMissing: Refused,
    ForeignFact: Denied,
    RecordingComplete: Refused,
}


@contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except LedgerRefusal as error:
        raise _STATUS_OF[type(error)](error.reason, str(error)) from error
    except StoreUnavailable as error:
        raise Unavailable("ledger_store_unavailable", str(error)) from error


@dataclass(frozen=True, slots=True)
class Parts:
    """The use cases that the door opens to."""

    log: EntryLog
    secrets: Secrets
    appender: Appender
    admissions: Admissions
    disclosure: Disclosure
    verdicts: Verdicts


class LedgerServicer(rpc.LedgerServicer):
    """Serves the ledger; holds nothing of its own."""

    def __init__(self, parts: Parts) -> None:
        self._log = parts.log
        self._secrets = parts.secrets
        self._appender = parts.appender
        self._admissions = parts.admissions
        self._disclosure = parts.disclosure
        self._verdicts = parts.verdicts

    async def Append(  # noqa: N802  # named by the .proto
        self, request: pb.AppendRequest, context: Context
    ) -> pb.AppendResponse:
        """Check all events and who states them, then seal and commit them in their order."""
        if not 0 < len(request.events) <= MAX_EVENTS:
            raise InvalidInput("bad_request", f"events: between 1 and {MAX_EVENTS}")
        with _mapped():
            events = [_event(event) for event in request.events]
            if (peer := peer_of(context)) is not None:
                for event in events:
                    check_appender(event, peer.services)
            ids = {one for event in events for one in sealing_keys(event).values()}
            secrets = await self._secrets.ensure(ids) if ids else {}
            drafts = [draft(event, secrets, os.urandom) for event in events]
            entries = await self._appender.append(drafts)
        return pb.AppendResponse(entries=[_committed(entry) for entry in entries])

    async def RequestPermit(  # noqa: N802  # named by the .proto
        self, request: pb.RequestPermitRequest, context: Context
    ) -> pb.RequestPermitResponse:
        """Decide by committed facts; the answer is committed before it is given."""
        only(context, "signalling")
        with _mapped():
            answer = await self._admissions.request(
                PermitRequest(
                    call=request.call_id,
                    permit_id=request.permit_id,
                    event_ids=tuple(request.event_ids),
                    media_node=request.media_node,
                )
            )
        if answer.permit is None:
            return pb.RequestPermitResponse(
                refused=pb.PermitRefusal(reason=answer.reason), entry=_committed(answer.entry)
            )
        permit = pb.Permit(payload=answer.permit.payload, signature=answer.permit.signature)
        return pb.RequestPermitResponse(
            granted=pb.Granted(permit=permit, unit_keys=_keys(answer.keys)),
            entry=_committed(answer.entry),
        )

    async def Read(  # noqa: N802  # named by the .proto
        self, request: pb.ReadRequest, _context: Context
    ) -> AsyncIterator[pb.ReadResponse]:
        """Stream committed entries, at most a page of them."""
        if request.limit > MAX_PAGE:
            raise InvalidInput("bad_request", f"limit: at most {MAX_PAGE}")
        if max(request.index, request.from_seq) > LAST_INDEX:
            raise InvalidInput("bad_request", f"index and from_seq: at most {LAST_INDEX}")
        limit = request.limit or MAX_PAGE
        with _mapped():
            if request.WhichOneof("from") == "stream":
                entries = await self._log.stream(request.stream, limit, request.from_seq)
            else:
                entries = await self._log.page(request.index, limit)
        for entry in entries:
            yield pb.ReadResponse(
                index=entry.index,
                canonical=entry.canonical,
                sealed=dict(entry.sealed),
                traceparent=entry.traceparent,
            )

    async def KeepAlive(  # noqa: N802  # named by the .proto
        self, request: pb.KeepAliveRequest, context: Context
    ) -> pb.KeepAliveResponse:
        """Note that a worker still has these calls."""
        only(context, "signalling")
        self._verdicts.keep_alive(request.call_ids)
        return pb.KeepAliveResponse()

    async def UnitKeys(  # noqa: N802  # named by the .proto
        self, request: pb.UnitKeysRequest, context: Context
    ) -> pb.UnitKeysResponse:
        """Give further keys of a permit that this ledger signed, while its call is recorded."""
        peer = only(context, "media-recorder")
        node = None if peer is None else peer.node
        signed = SignedPermit(request.permit.payload, request.permit.signature)
        with _mapped():
            keys = await self._admissions.unit_keys(signed, request.first, request.count, node)
        return pb.UnitKeysResponse(unit_keys=_keys(keys))

    async def Open(  # noqa: N802  # named by the .proto
        self, request: pb.OpenRequest, context: Context
    ) -> pb.OpenResponse:
        """Commit who asks for what and why, then give it."""
        only(context, "retrieval")
        asker = Asker(request.person, request.role, request.purpose, request.request_id)
        with _mapped():
            if request.WhichOneof("target") == "audio":
                audio = request.audio
                entry, keys = await self._disclosure.open_audio(
                    audio.call_id, list(audio.legs), audio.format, asker
                )
                return pb.OpenResponse(entry=_committed(entry), unit_keys=_keys(keys))
            entry, opened = await self._disclosure.open_fields(
                list(request.fields.event_ids), asker
            )
        fields = [
            pb.OpenedFields(
                event_id=one.event_id, fields_json=json.dumps(one.fields), erased=one.erased
            )
            for one in opened
        ]
        return pb.OpenResponse(entry=_committed(entry), fields=fields)


def _event(event: pb.Event) -> Event:
    return read_event(
        event_id=event.event_id,
        event_type=event.type,
        stream=event.stream,
        call=event.call,
        time=event.time,
        fields_json=event.fields_json,
        traceparent=event.traceparent,
    )


def _committed(entry: StoredEntry) -> pb.Committed:
    return pb.Committed(
        event_id=entry.event_id,
        index=entry.index,
        seq=entry.seq,
        recorded_at=format_time(entry.read().recorded_at),
    )


def _keys(keys: Mapping[str, bytes]) -> list[pb.UnitKey]:
    return [pb.UnitKey(key_ref=ref, key=key) for ref, key in keys.items()]
