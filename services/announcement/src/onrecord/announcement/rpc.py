"""The gRPC door `Announcement`: checks requests, translates both ways, decides nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

import grpc.aio
from onrecord.announcement.announcer import Announcement, Announcer, Outcome
from onrecord.announcement.domain.plan import Obligation
from onrecord.announcement.domain.prompt import Prompt
from onrecord.api.announcement.v1 import announcement_pb2 as pb
from onrecord.api.announcement.v1 import announcement_pb2_grpc as stubs
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger_pb
from onrecord.contracts.events import Act, Party, Purpose
from onrecord.platform.errors import InvalidInput

_CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ADDRESS = re.compile(r"[^\s:]+:[0-9]{1,5}|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}")
_PARTIES: dict[str, Party] = {party: party for party in get_args(Party)}
_ACTS: dict[str, Act] = {act: act for act in get_args(Act)}
_PURPOSES: dict[str, Purpose] = {purpose: purpose for purpose in get_args(Purpose)}


class AnnouncementServicer(stubs.AnnouncementServicer):
    """Serves Announce and Prompts."""

    def __init__(self, announcer: Announcer, prompts: Sequence[Prompt]) -> None:
        """`prompts` are those that `announcer` plays."""
        self._announcer = announcer
        self._prompts = prompts

    async def Announce(  # noqa: N802  # named by the .proto
        self,
        request: pb.AnnounceRequest,
        context: grpc.aio.ServicerContext[pb.AnnounceRequest, pb.AnnounceResponse],
    ) -> pb.AnnounceResponse:
        """Inform the parties and reply when the fact of each notice is committed."""
        outcomes = await self._announcer.announce(_announcement(request))
        return pb.AnnounceResponse(results=[_result(outcome) for outcome in outcomes])

    async def Prompts(  # noqa: N802
        self,
        request: pb.PromptsRequest,
        context: grpc.aio.ServicerContext[pb.PromptsRequest, pb.PromptsResponse],
    ) -> pb.PromptsResponse:
        """List the approved prompts."""
        return pb.PromptsResponse(prompts=[_prompt(prompt) for prompt in self._prompts])


def _announcement(request: pb.AnnounceRequest) -> Announcement:
    if not _CALL_ID.fullmatch(request.call_id):
        raise InvalidInput("bad_call_id", f"{request.call_id[:80]!r} cannot be a call id")
    if not _ADDRESS.fullmatch(request.media_address):
        raise InvalidInput("bad_media_address", "media_address is host:port, as Media.Open gave it")
    obligations = tuple(_obligation(owed) for owed in request.obligations)
    legs = [owed.leg for owed in obligations]
    if not legs or len(set(legs)) < len(legs):
        raise InvalidInput("bad_obligations", "one obligation for each leg, and at least one")
    return Announcement(request.call_id, request.attempt, request.media_address, obligations)


def _obligation(owed: pb.Obligation) -> Obligation:
    if owed.party != owed.leg:
        raise InvalidInput("bad_obligation", "a party is told on its own leg")
    try:
        return Obligation(
            party=_PARTIES[owed.party],
            leg=_PARTIES[owed.leg],
            method=owed.method,
            language=owed.language,
            acts=frozenset(_ACTS[act] for act in owed.acts),
            purposes=frozenset(_PURPOSES[purpose] for purpose in owed.purposes),
        )
    except KeyError as error:
        known = ", ".join([*_PARTIES, *_ACTS, *_PURPOSES])
        raise InvalidInput(
            "bad_obligation", f"{error} is no party, leg, act or purpose; known are: {known}"
        ) from error


def _result(outcome: Outcome) -> pb.NoticeResult:
    owed, received = outcome.obligation, outcome.received
    return pb.NoticeResult(
        party=owed.party,
        leg=owed.leg,
        event_id=outcome.event_id,
        given=outcome.grade is not None,
        grade=outcome.grade or "",
        reason=outcome.reason,
        received=ledger_pb.Position(**received.model_dump()) if received else None,
    )


def _prompt(prompt: Prompt) -> pb.Prompt:
    return pb.Prompt(
        id=prompt.id,
        version=prompt.version,
        party=prompt.party,
        language=prompt.language,
        text=prompt.text,
        acts=sorted(prompt.acts),
        purposes=sorted(prompt.purposes),
        sha256=bytes.fromhex(prompt.sha256),
        length_ms=round(prompt.seconds * 1000),
    )
