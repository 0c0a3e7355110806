"""All running calls of this worker: inputs to their state machines, effects to the world.

Nothing here waits for a door: a hung service delays its own answer and no SIP message.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from onrecord.contracts.event import call_event, format_time
from onrecord.contracts.registry import fact_class
from onrecord.platform.clock import utc_now
from onrecord.platform.errors import Overloaded
from onrecord.platform.ids import new_id
from onrecord.platform.telemetry import (
    CALL_ID,
    attached,
    continued,
    get_logger,
    meter,
    traceparent,
    tracer,
)
from onrecord.signalling import session_side, sip_side
from onrecord.signalling.adapters.kept_calls import KeptCalls
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.call import Call
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.kept import KeptCall
from onrecord.signalling.domain.plan import Office, Plan, Refusal, plan_call
from onrecord.signalling.domain.recording_session import RecordingSession
from onrecord.signalling.domain.session_plan import SessionPlan, plan_session
from onrecord.signalling.door_work import Doors, DoorWork
from onrecord.signalling.relay import Relay
from onrecord.signalling.routes import Emergency
from onrecord.signalling.running import Conductor, RunningCall
from onrecord.sip import events as sip
from onrecord.sip.admission import RETRY_AFTER
from onrecord.sip.dialog import Dialog
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request
from onrecord.sip.siprec.offer import is_recording_session

log = get_logger()
invites = meter().create_counter("onrecord_invites", description="new calls, by outcome")
active = meter().create_up_down_counter("onrecord_active_calls", description="running calls")
documents = meter().create_counter(
    "onrecord_siprec_documents", description="offers and updates, by what became of the metadata"
)
facts_lost = meter().create_counter("onrecord_facts_lost", description="facts not journalled")

_GLARE_SECONDS = 2.0
"""RFC 3261 §14.1: the longest wait of the side that did not begin the dialog."""

RETRY_SECONDS = 5.0
"""How long a retrieved call waits before it asks again for the permit that it did not get."""
_SESSION_BITS = 62
"""The o-line's session id is a number that must fit a signed 64-bit integer at every peer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an agent may ring, in seconds, and how many calls may run at once."""

    ring_seconds: float
    max_calls: int


class Sockets(Protocol):
    """What the switchboard needs of the SIP sockets."""

    def flush(self) -> None:
        """Send what commands to the endpoint caused."""

    def identities(self, hop: Hop) -> frozenset[str]:
        """Who is at a hop that sent us something: its address, with TLS its certified names."""


class Switchboard:
    """Takes SIP events by `on_sip` and every other input by `happen`.

    Give it the SIP side by `connect` before the first event.
    """

    def __init__(
        self,
        office: Office,
        doors: Doors,
        kept: KeptCalls,
        limits: Limits,
        is_draining: Callable[[], bool],
    ) -> None:
        self.calls: dict[str, RunningCall] = {}
        self._office = office
        self._doors = doors
        self._kept = kept
        self._limits = limits
        self._work = DoorWork(doors, self.happen)
        self._is_draining = is_draining
        self._no_call = asyncio.Event()
        self._last: set[str] = set()
        self._relay = Relay()
        self._by_leg: dict[sip.LegId, tuple[RunningCall, Party]] = {}

    def connect(self, endpoint: Endpoint, sockets: Sockets) -> None:
        """Give commands to `endpoint` from now on; its sockets send what they caused."""
        self._endpoint = endpoint
        self._sockets = sockets

    def on_sip(self, event: sip.Event) -> None:
        """Take an event of the endpoint; one of an unknown leg comes too late to matter."""
        if isinstance(event, sip.IncomingInvite):
            self._take_call(event)
        elif isinstance(event, sip.Responded):
            self._relay.pass_back(self._endpoint, event, asyncio.get_running_loop().time())
        elif (found := self._by_leg.get(event.leg)) is not None:
            self._hear(event, *found)
        if isinstance(event, sip.Ended | sip.Bye):
            self._kept.leg_is_over(event.leg)

    def _hear(self, event: sip.Event, running: RunningCall, party: Party) -> None:
        if isinstance(event, sip.Requested):
            now = asyncio.get_running_loop().time()
            self._relay.pass_on(self._endpoint, running, party, event, now)
            return
        if isinstance(running.call, RecordingSession):
            happening = session_side.meaning(event)
        else:
            happening = sip_side.meaning(event, party)
        if isinstance(happening, Refusal):
            log.info("offer refused", call=running.id, reason=happening.reason)
            now = asyncio.get_running_loop().time()
            self._endpoint.reject(event.leg, happening.status, now, headers=happening.headers)
        elif happening is not None:
            self.happen(running, happening)

    def is_emergency(self, request: Request) -> bool:
        """Whether an INVITE calls for help: it is taken whatever it requires."""
        return isinstance(self._office.routes.find(request.uri.number), Emergency)

    def admits(self, request: Request) -> bool:
        """Whether one more call may come in: always an emergency call, else up to the limit."""
        if self.is_emergency(request):
            return True
        if not self._endpoint.is_crowded and len(self.calls) < self._limits.max_calls:
            return True
        invites.add(1, {"outcome": "overload"})
        return False

    def take_on(self, kept: KeptCall, seconds: float) -> None:
        """Go on with a call of an earlier process that was answered so many seconds ago."""
        answered_at = asyncio.get_running_loop().time() - seconds
        call = Call.resume(kept.plan(), kept.gate, kept.objections, answered_at)
        with continued(kept.traceparent, kept.call_id):
            running = self._start(call, kept.started_at)
        running.answered_at, running.traceparent = kept.answered_at, kept.traceparent
        for party, dialog in kept.dialogs.items():
            running.legs[party] = self._endpoint.restore(dialog)
            self._by_leg[running.legs[party]] = running, party

    def give_up(self, kept: KeptCall, seconds: float) -> None:
        """Hang up both sides of a call of an earlier process and enter its end."""
        now = asyncio.get_running_loop().time()
        legs = {party: self._endpoint.restore(dialog) for party, dialog in kept.dialogs.items()}
        for leg in legs.values():
            self._endpoint.bye(leg, now)
        if not kept.is_over:
            self._enter(kept.call_id, kept.end(seconds), kept.traceparent)
        self._leave(kept, legs)
        self._sockets.flush()

    def happen(self, running: RunningCall, happening: on.Input) -> None:
        """Let something happen to a call, and carry out what follows."""
        now = asyncio.get_running_loop().time()
        phase = running.call.phase
        with attached(running.context):
            effects = running.call.handle(happening, now)
            if running.call.phase is not phase:
                name = type(happening).__name__
                log.info("call moved", by=name, phase=running.call.phase.name)
                running.trace_set_up()
            self._carry_out(running, effects, now)

    async def empty(self, seconds: float) -> None:
        """Wait until no call runs any more, at most so many seconds."""
        self._last |= set(self.calls)
        if self.calls:
            log.info("waiting for calls", calls=len(self.calls), seconds=seconds)
            self._no_call.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._no_call.wait()

    async def close(self, seconds: float) -> None:
        """Hang up what still runs, and let doors and ledger hear of it for so many seconds.

        Emergency calls are not hung up: their media does not pass us, the next process goes on.
        """
        ending = [one for one in self.calls.values() if one.call.plan.kind != "emergency"]
        for running in ending:
            self.happen(running, on.HangUpAsked("shutdown"))
        await self._work.close(seconds)
        with contextlib.suppress(TimeoutError):  # what is left waits in the journal
            async with asyncio.timeout(seconds):
                for call_id in self._last | {running.id for running in ending}:
                    await self._doors.facts.drained(call_id, seconds)

    def sessions_known_as(self, kind: str, value: str) -> list[RunningCall]:
        """The recording sessions to which their client gave this identifier."""
        return [
            running
            for running in self.calls.values()
            if isinstance(running.call, RecordingSession) and running.call.is_known_as(kind, value)
        ]

    def by_recorder(self) -> dict[str, list[str]]:
        """The calls that have media, by their recorder's address."""
        found: dict[str, list[str]] = defaultdict(list)
        for running in self.calls.values():
            if running.media_address:
                found[running.media_address].append(running.id)
        return found

    def _take_call(self, event: sip.IncomingInvite) -> None:
        call_id, now = new_id(), asyncio.get_running_loop().time()
        plan = self._plan(call_id, event)
        if isinstance(plan, Refusal):
            log.info("call refused", call=call_id, status=plan.status, reason=plan.reason)
            invites.add(1, {"outcome": plan.reason})
            headers = (RETRY_AFTER,) if plan.status == 503 else plan.headers
            self._endpoint.reject(event.leg, plan.status, now, headers=headers)
            return
        invites.add(1, {"outcome": plan.kind})
        call = Call(plan) if isinstance(plan, Plan) else RecordingSession(plan)
        running = self._start(call, format_time(utc_now()))
        running.legs["caller"] = event.leg
        running.contact = self._endpoint.contact(event)
        with attached(running.context):
            running.traceparent = traceparent()
            log.info("call routed", kind=plan.kind, line=plan.line)
            # Before its first fact: whatever call.started is on disk, its end will follow.
            self._kept.keep(self._snapshot(running))
            self._carry_out(running, running.call.begin(now), now)

    def _start(self, call: Conductor, started_at: str) -> RunningCall:
        attributes = {CALL_ID: call.plan.call_id, "onrecord.kind": call.plan.kind}
        running = RunningCall(call, started_at, tracer().start_span("call", attributes=attributes))
        self.calls[running.id] = running
        active.add(1)
        return running

    def _plan(self, call_id: str, event: sip.IncomingInvite) -> Plan | SessionPlan | Refusal:
        if self._office.routes.peers.isdisjoint(self._sockets.identities(event.source)):
            return Refusal(403, "not_a_peer")
        session_id = secrets.randbits(_SESSION_BITS)
        request, today = event.request, utc_now().date()
        plan: Plan | SessionPlan | Refusal
        if not self.is_emergency(request) and is_recording_session(request):
            plan = plan_session(self._office, call_id, request, today, session_id)
        else:
            plan = plan_call(self._office, call_id, request, today, session_id)
        if not isinstance(plan, Refusal) and plan.kind != "emergency" and self._is_draining():
            return Refusal(503, "draining")
        return plan

    def _carry_out(self, running: RunningCall, effects: list[do.Effect], now: float) -> None:
        before = dict(running.legs)
        is_session = isinstance(running.call, RecordingSession)
        side = session_side if is_session else sip_side
        for effect in effects:
            if side.carry_out(self._endpoint, running, effect, now):
                continue
            if not self._work.carry_out(running, effect):
                self._carry_out_here(running, effect)
        if running.id in self.calls:
            for party, leg in before.items():
                if running.legs[party] != leg:
                    self._by_leg.pop(leg, None)
            for party, leg in running.legs.items():
                self._by_leg[leg] = running, party
            self._kept.keep(self._snapshot(running))
        self._sockets.flush()

    def _carry_out_here(self, running: RunningCall, effect: do.Effect) -> None:
        match effect:
            case do.Enter():
                if effect.type == "session.described":
                    documents.add(1, {"metadata": str(effect.fields["metadata"])})
                if effect.type == "call.answered":
                    running.answered_at = format_time(utc_now())
                self._enter(running.id, effect)
            case do.WatchRinging():
                loop = asyncio.get_running_loop()
                running.ring_timer = loop.call_later(
                    self._limits.ring_seconds, self.happen, running, on.RangTooLong()
                )
            case do.ReofferLater():
                asyncio.get_running_loop().call_later(
                    random.uniform(0, _GLARE_SECONDS),  # noqa: S311 - spreads, protects nothing
                    self.happen, running, on.ReofferDue(),
                )  # fmt: skip
            case do.RetryLater():
                loop = asyncio.get_running_loop()
                loop.call_later(RETRY_SECONDS, self.happen, running, on.RetryDue())
            case do.ResumeOutcome(reason):
                running.resolve_resuming(reason)
            case do.Finish():
                self._forget(running)

    def _enter(self, call_id: str, effect: do.Enter, trace: str = "") -> None:
        """Journal a fact; a call is never held up or ended because that failed."""
        try:
            fact = fact_class(effect.type).model_validate(effect.fields)
            event = call_event(call_id, fact, utc_now(), effect.discriminator)
            self._doors.facts.record(dataclasses.replace(event, traceparent=trace))
        except (Overloaded, OSError, ValueError) as error:
            facts_lost.add(1, {"type": effect.type})
            log.error("fact lost", call=call_id, type=effect.type, why=type(error).__name__)

    def _forget(self, running: RunningCall) -> None:
        running.stop_ring_timer()
        self.calls.pop(running.id, None)
        if not self.calls:
            self._no_call.set()
        for leg in running.legs.values():
            self._by_leg.pop(leg, None)
        self._leave(self._snapshot(running), running.legs)
        running.trace_set_up()
        active.add(-1)

    def _snapshot(self, running: RunningCall) -> KeptCall:
        return running.kept(self._dialogs(running.legs))

    def _leave(self, kept: KeptCall, legs: Mapping[Party, sip.LegId]) -> None:
        """Keep a call that is over until its hang-ups are answered or given up."""
        dialogs = self._dialogs(legs)
        left = dataclasses.replace(kept, is_over=True, dialogs=dialogs)
        self._kept.keep_until_over(left, [legs[party] for party in dialogs])

    def _dialogs(self, legs: Mapping[Party, sip.LegId]) -> dict[Party, Dialog]:
        found = {party: self._endpoint.dialog(leg) for party, leg in legs.items()}
        return {party: dialog for party, dialog in found.items() if dialog is not None}
