"""The gRPC door `CallControl`: acts on the running calls of this worker."""

from __future__ import annotations

import asyncio

import grpc.aio
from onrecord.api.signalling.v1 import signalling_pb2 as pb
from onrecord.api.signalling.v1 import signalling_pb2_grpc as stubs
from onrecord.contracts.event import format_time
from onrecord.platform.errors import InvalidInput, NotFound, Refused, Unavailable
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.phase import Phase
from onrecord.signalling.running import RunningCall
from onrecord.signalling.switchboard import Switchboard

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["CallControl"].full_name
COMMAND_SECONDS = 10.0
_CHANNELS = frozenset({"spoken", "key", "agent_button", "api"})
_PAUSE_CAUSES = frozenset({"card_data", "agent_request", "other"})
_PARTIES: dict[str, Party] = {"caller": "caller", "agent": "agent"}


class CallControlServicer(stubs.CallControlServicer):
    """Serves CallControl."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard

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

    async def HangUp(  # noqa: N802
        self,
        request: pb.HangUpRequest,
        context: grpc.aio.ServicerContext[pb.HangUpRequest, pb.HangUpResponse],
    ) -> pb.HangUpResponse:
        """End the call on both sides."""
        self._switchboard.happen(self._find(request.call_id), on.HangUpAsked())
        return pb.HangUpResponse()

    def _find(self, call_id: str) -> RunningCall:
        running = self._switchboard.calls.get(call_id)
        if running is None:
            raise NotFound("unknown_call", "this worker has no such call")
        return running


async def _media_done(running: RunningCall) -> None:
    """Wait for the recorder to have taken what the call told it. Raises Unavailable."""
    await asyncio.sleep(0)  # the command's task takes its turn first
    try:
        async with asyncio.timeout(COMMAND_SECONDS), running.media_turn:
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
        started_at=format_time(running.started_at),
    )
