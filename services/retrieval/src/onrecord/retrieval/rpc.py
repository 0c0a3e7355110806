"""The gRPC door `Retrieval`: checks requests, translates both ways, decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import get_args

import grpc.aio
from onrecord.api.retrieval.v1 import retrieval_pb2 as pb
from onrecord.api.retrieval.v1 import retrieval_pb2_grpc as stubs
from onrecord.contracts.event import format_time
from onrecord.contracts.events import Verdict
from onrecord.platform.errors import InvalidInput, NotFound
from onrecord.retrieval.adapters.index import CallIndex
from onrecord.retrieval.domain.access import Access
from onrecord.retrieval.domain.call import Call, TimelineFact
from onrecord.retrieval.domain.paging import BadPageToken, Filters, place_of, token_after
from onrecord.retrieval.playback import Playback

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
MAX_TEXT = 256


class RetrievalServicer(stubs.RetrievalServicer):
    """Serves Search, Get and StreamAudio."""

    def __init__(self, index: CallIndex, playback: Playback) -> None:
        self._index = index
        self._playback = playback

    async def Search(  # noqa: N802  # named by the .proto
        self,
        request: pb.SearchRequest,
        context: grpc.aio.ServicerContext[pb.SearchRequest, pb.SearchResponse],
    ) -> pb.SearchResponse:
        """List calls, newest first."""
        size = request.page_size or PAGE_SIZE
        if size > MAX_PAGE_SIZE:
            raise InvalidInput("page_too_large", f"page_size is at most {MAX_PAGE_SIZE}")
        filters = _filters(request)
        try:
            after = place_of(request.page_token, filters) if request.page_token else None
        except BadPageToken as error:
            raise InvalidInput("bad_page_token", str(error)) from error
        # One more than asked for tells whether there is a next page.
        found = await self._index.search(filters, after, size + 1)
        more = len(found) > size
        return pb.SearchResponse(
            calls=[_summary(call) for call in found[:size]],
            next_page_token=token_after(found[size - 1], filters) if more else "",
        )

    async def Get(  # noqa: N802
        self,
        request: pb.GetRequest,
        context: grpc.aio.ServicerContext[pb.GetRequest, pb.GetResponse],
    ) -> pb.GetResponse:
        """One call with every committed fact, in order."""
        found = await self._index.get(request.call_id)
        if found is None:
            raise NotFound("call_unknown", f"there is no call {request.call_id[:80]}")
        call, timeline = found
        return pb.GetResponse(
            call=_summary(call), timeline=[_timeline_entry(fact) for fact in timeline]
        )

    async def StreamAudio(  # noqa: N802
        self,
        request: pb.StreamAudioRequest,
        context: grpc.aio.ServicerContext[pb.StreamAudioRequest, pb.StreamAudioResponse],
    ) -> AsyncIterator[pb.StreamAudioResponse]:
        """Release a call's audio; the access is committed before the first byte."""
        access = _access(request)
        async with aclosing(self._playback.stream(access)) as pieces:
            async for piece in pieces:
                yield pb.StreamAudioResponse(data=piece)


def _filters(request: pb.SearchRequest) -> Filters:
    if request.verdict and request.verdict not in get_args(Verdict):
        raise InvalidInput("bad_verdict", f"verdict is one of: {', '.join(get_args(Verdict))}")
    return Filters(
        started_from=_moment(getattr(request, "from"), "from"),
        started_to=_moment(request.to, "to"),
        verdict=request.verdict,
        line=request.line[:MAX_TEXT],
        identifier=request.identifier[:MAX_TEXT],
    )


def _moment(text: str, name: str) -> str:
    if not text:
        return ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("bad_time", f"{name} is RFC 3339: 2026-03-01T09:30:00Z") from error
    if moment.tzinfo is None:
        raise InvalidInput("bad_time", f"{name} needs a zone: 2026-03-01T09:30:00Z")
    return format_time(moment)


def _access(request: pb.StreamAudioRequest) -> Access:
    given = {
        "call_id": request.call_id,
        "purpose": request.purpose,
        "person": request.person,
        "role": request.role,
        "request_id": request.request_id,
    }
    for name, value in given.items():
        if not value.strip() or len(value) > MAX_TEXT:
            raise InvalidInput(f"bad_{name}", f"{name} has 1 to {MAX_TEXT} characters")
    return Access(
        request.call_id, request.purpose, request.person, request.role, request.request_id
    )


def _summary(call: Call) -> pb.CallSummary:
    return pb.CallSummary(
        call_id=call.call,
        started_at=call.started_at,
        answered_at=call.answered_at,
        ended_at=call.ended_at,
        direction=call.direction,
        line=call.line,
        verdict=call.verdict,
        causes=call.causes,
        kept_seconds=call.longest_kept_seconds,
        weakest_grade=call.weakest_grade,
        kind=call.kind,
        end_cause=call.end_cause,
        sip_code=call.sip_code,
        kept_by_leg=call.kept_seconds,
    )


def _timeline_entry(fact: TimelineFact) -> pb.TimelineEntry:
    return pb.TimelineEntry(
        index=fact.index,
        seq=fact.seq,
        event_id=fact.event_id,
        type=fact.type,
        time=fact.time,
        recorded_at=fact.recorded_at,
        fields_json=fact.fields_json,
        sealed=fact.sealed,
    )
