"""The gRPC door `CallControl`: acts on the running calls of this worker."""

from __future__ import annotations

import asyncio

import grpc.aio
from onrecord.api.signalling.v1 import signalling_pb2 as pb
from onrecord.api.signalling.v1 import signalling_pb2_grpc as stubs
from onrecord.platform.errors import Denied, InvalidInput, NotFound, Refused, Unavailable
from onrecord.platform.grpc import reason_of
from onrecord.signalling.adapters.recorders import Recorders
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.phase import Phase
from onrecord.signalling.domain.recording_session import RecordingSession
from onrecord.signalling.running import RunningCall
from onrecord.signalling.switchboard import Switchboard

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["CallControl"].full_name
COMMAND_SECONDS = 10.0
_CHANNELS = frozenset({"spoken", "key", "agent_button", "api"})
_PAUSE_CAUSES = frozenset({"card_data", "agent_request", "other"})
_PARTIES: dict[str, Party] = {"caller": "caller", "agent": "agent"}


class CallControlServicer(stubs.CallControlServicer):
    """Serves CallControl."""

    def __init__(self, switchboard: Switchboard, recorders: Recorders) -> None:
        self._switchboard = switchboard
        self._recorders = recorders

    async def List(  # noqa: N802  # named by the .proto, as are all below
        self,
        request: pb.ListRequest,
        context: grpc.aio.ServicerContext[pb.ListRequest, pb.ListResponse],
    ) -> pb.ListResponse:
        """Name the calls of this worker."""
        calls = [_call(running) for running in self._switchboard.calls.values()]
        return pb.ListResponse(calls=calls)

    async def Pause(  # noqa: N802
        self,
        request: pb.PauseRequest,
        context: grpc.aio.ServicerContext[pb.PauseRequest, pb.PauseResponse],
    ) -> pb.PauseResponse:
        """Keep nothing for now; replies when the recorder has closed its gate."""
        running = self._find(request.call_id)
        if request.cause not in _PAUSE_CAUSES:
            raise InvalidInput("bad_cause", f"cause is one of {', '.join(sorted(_PAUSE_CAUSES))}")
        if running.call.phase not in (Phase.RECORDING, Phase.PAUSED):
            raise Refused("not_recording", f"the call is {running.state}")
        role = request.actor_role or "system"
        self._switchboard.happen(running, on.PauseAsked(request.cause, role, request.actor))
        await _media_done(running)
        return pb.PauseResponse()

    async def Resume(  # noqa: N802
        self,
        request: pb.ResumeRequest,
        context: grpc.aio.ServicerContext[pb.ResumeRequest, pb.ResumeResponse],
    ) -> pb.ResumeResponse:
        """Ask for a new permit; replies with what came of it."""
        running = self._find(request.call_id)
        if running.call.phase is not Phase.PAUSED:
            return pb.ResumeResponse(recording=False, reason="not_paused")
        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running.resuming.append(outcome)
        self._switchboard.happen(running, on.ResumeAsked())
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                reason = await outcome
        except TimeoutError:
            raise Unavailable("ledger_unavailable", "no permit in time; ask again") from None
        return pb.ResumeResponse(recording=not reason, reason=reason)

    async def Object(  # noqa: N802
        self,
        request: pb.ObjectRequest,
        context: grpc.aio.ServicerContext[pb.ObjectRequest, pb.ObjectResponse],
    ) -> pb.ObjectResponse:
        """Enter an objection and stop recording for good."""
        running = self._find(request.call_id)
        party = _PARTIES.get(request.party)
        if party is None or request.channel not in _CHANNELS:
            raise InvalidInput(
                "bad_objection",
                f"party is caller or agent, channel one of {', '.join(sorted(_CHANNELS))}",
            )
        event_id = f"{running.id}:objection.made:{party}:{running.call.objections}"
        self._switchboard.happen(running, on.Objected(party, request.channel))
        await _media_done(running)
        return pb.ObjectResponse(event_id=event_id)

    async def Attach(  # noqa: N802
        self,
        request: pb.AttachRequest,
        context: grpc.aio.ServicerContext[pb.AttachRequest, pb.AttachResponse],
    ) -> pb.AttachResponse:
        """Let a system's statement count, from where the streams stand now."""
        running = self._session(request)
        session, party = running.call, _PARTIES.get(request.party)
        if party is None or not isinstance(session, RecordingSession):
            raise InvalidInput("bad_statement", "party is caller or agent, of a recording session")
        notice = session.evidence.find(request.system, party, request.notice, request.version)
        if notice is None:
            raise Denied("not_its_notice", "the routes file does not let this system state that")
        if not running.media_address:
            raise Refused("not_answered", "the session has no media yet")
        if standing := session.evidence.standing(party, notice):
            return pb.AttachResponse(event_id=standing)
        try:
            received = await self._recorders.told(running.media_address, running.id)
        except grpc.aio.AioRpcError as error:
            raise Unavailable("media_unavailable", f"no positions: {reason_of(error)}") from error
        event_id = session.evidence.standing(party, notice) or session.evidence.next_id(party)
        self._switchboard.happen(running, on.Stated(party, notice, request.system, received))
        return pb.AttachResponse(event_id=event_id)

    async def HangUp(  # noqa: N802
        self,
        request: pb.HangUpRequest,
        context: grpc.aio.ServicerContext[pb.HangUpRequest, pb.HangUpResponse],
    ) -> pb.HangUpResponse:
        """End the call on both sides."""
        self._switchboard.happen(self._find(request.call_id), on.HangUpAsked())
        return pb.HangUpResponse()

    def _session(self, request: pb.AttachRequest) -> RunningCall:
        kind = request.WhichOneof("call")
        if kind in (None, "call_id"):
            return self._find(request.call_id)
        found = self._switchboard.sessions_known_as(str(kind), str(getattr(request, str(kind))))
        if len(found) > 1:
            raise Refused("several_sessions", "more than one session has this id; name ours")
        if not found:
            raise NotFound("unknown_call", "no session of this worker has this id")
        return found[0]

    def _find(self, call_id: str) -> RunningCall:
        running = self._switchboard.calls.get(call_id)
        if running is None:
            raise NotFound("unknown_call", "this worker has no such call")
        return running


async def _media_done(running: RunningCall) -> None:
    """Wait for the recorder to have taken what the call told it. Raises Unavailable."""
    if running.shutting is None:
        return
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            await asyncio.shield(running.shutting)
        fault = running.media_fault
    except TimeoutError:
        fault = "media_timeout"
    if fault:
        raise Unavailable("media_unavailable", f"the recorder did not confirm: {fault}")


def _call(running: RunningCall) -> pb.Call:
    return pb.Call(
        call_id=running.id,
        state=running.state,
        line=running.call.plan.line,
        media_node=running.call.media_node,
        started_at=running.started_at,
    )
