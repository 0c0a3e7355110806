"""All running calls of this worker: inputs to their state machines, effects to the world.

Nothing here waits for a door: a hung service delays its own answer and no SIP message.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import defaultdict
from collections.abc import Callable

from onrecord.contracts.event import call_event
from onrecord.contracts.registry import fact_class
from onrecord.platform.clock import utc_now
from onrecord.platform.errors import Overloaded
from onrecord.platform.ids import new_id
from onrecord.platform.telemetry import get_logger, meter, tracer
from onrecord.signalling import sip_side
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.call import Call
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.plan import Office, Plan, Refusal, plan_call
from onrecord.signalling.door_work import Doors, DoorWork
from onrecord.signalling.running import RunningCall
from onrecord.sip import events as sip
from onrecord.sip.endpoint import Endpoint
from opentelemetry.trace import use_span

log = get_logger()
invites = meter().create_counter("onrecord_invites", description="new calls, by outcome")
active = meter().create_up_down_counter("onrecord_active_calls", description="running calls")
facts_lost = meter().create_counter("onrecord_facts_lost", description="facts not journalled")

_SESSION_BITS = 62
"""The o-line's session id is a number that must fit a signed 64-bit integer at every peer."""


class Switchboard:
    """Takes SIP events by `on_sip` and every other input by `happen`.

    Give it the SIP side by `connect` before the first event.
    """

    def __init__(
        self, office: Office, doors: Doors, ring_seconds: float, is_draining: Callable[[], bool]
    ) -> None:
        self.calls: dict[str, RunningCall] = {}
        self._office = office
        self._doors = doors
        self._work = DoorWork(doors, self.happen)
        self._ring_seconds = ring_seconds
        self._is_draining = is_draining
        self._by_leg: dict[sip.LegId, tuple[RunningCall, Party]] = {}

    def connect(self, endpoint: Endpoint, flush: Callable[[], None]) -> None:
        """Give commands to `endpoint` from now on; `flush` sends what they caused."""
        self._endpoint = endpoint
        self._flush = flush

    def on_sip(self, event: sip.Event) -> None:
        """Take an event of the endpoint; one of an unknown leg comes too late to matter."""
        if isinstance(event, sip.IncomingInvite):
            self._take_call(event)
        elif (found := self._by_leg.get(event.leg)) is not None:
            running, party = found
            happening = sip_side.meaning(event, party)
            if happening is not None:
                self.happen(running, happening)

    def happen(self, running: RunningCall, happening: on.Input) -> None:
        """Let something happen to a call, and carry out what follows."""
        now = asyncio.get_running_loop().time()
        phase = running.call.phase
        with use_span(running.span):
            effects = running.call.handle(happening, now)
            if running.call.phase is not phase:
                name = type(happening).__name__
                log.info("call moved", call=running.id, by=name, phase=running.call.phase.name)
            self._carry_out(running, effects, now)

    async def close(self, seconds: float) -> None:
        """Hang up what still runs, and let doors and ledger hear of it for so many seconds."""
        ending = list(self.calls.values())
        for running in ending:
            self.happen(running, on.HangUpAsked("shutdown"))
        await self._work.close(seconds)
        with contextlib.suppress(TimeoutError):  # what is left waits in the journal
            async with asyncio.timeout(seconds):
                for running in ending:
                    await self._doors.facts.drained(running.id, seconds)

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
            headers = (("Retry-After", "10"),) if plan.status == 503 else ()
            self._endpoint.reject(event.leg, plan.status, now, headers=headers)
            return
        invites.add(1, {"outcome": plan.kind})
        span = tracer().start_span("call", attributes={"call.id": call_id, "call.kind": plan.kind})
        running = RunningCall(Call(plan), event.leg, utc_now(), span)
        self.calls[call_id] = running
        self._by_leg[event.leg] = running, "caller"
        active.add(1)
        with use_span(span):
            log.info("call routed", call=call_id, kind=plan.kind, line=plan.line)
            self._carry_out(running, running.call.begin(now), now)

    def _plan(self, call_id: str, event: sip.IncomingInvite) -> Plan | Refusal:
        if event.source[0] not in self._office.routes.peers:
            return Refusal(403, "not_a_peer")
        session_id = secrets.randbits(_SESSION_BITS)
        plan = plan_call(self._office, call_id, event.request, utc_now().date(), session_id)
        if isinstance(plan, Plan) and plan.kind != "emergency" and self._is_draining():
            return Refusal(503, "draining")
        return plan

    def _carry_out(self, running: RunningCall, effects: list[do.Effect], now: float) -> None:
        for effect in effects:
            if sip_side.carry_out(self._endpoint, running, effect, now):
                continue
            if not self._work.carry_out(running, effect):
                self._carry_out_here(running, effect)
        for party, leg in running.legs.items():
            if running.id in self.calls:
                self._by_leg[leg] = running, party
        self._flush()

    def _carry_out_here(self, running: RunningCall, effect: do.Effect) -> None:
        match effect:
            case do.Enter():
                self._enter(running, effect)
            case do.WatchRinging():
                loop = asyncio.get_running_loop()
                running.ring_timer = loop.call_later(
                    self._ring_seconds, self.happen, running, on.RangTooLong()
                )
            case do.ResumeOutcome(reason):
                running.resolve_resuming(reason)
            case do.Finish():
                self._forget(running)

    def _enter(self, running: RunningCall, effect: do.Enter) -> None:
        """Journal a fact; a call is never held up or ended because that failed."""
        try:
            fact = fact_class(effect.type).model_validate(effect.fields)
            self._doors.facts.record(call_event(running.id, fact, utc_now(), effect.discriminator))
        except (Overloaded, OSError, ValueError) as error:
            facts_lost.add(1, {"type": effect.type})
            log.error("fact lost", call=running.id, type=effect.type, why=type(error).__name__)

    def _forget(self, running: RunningCall) -> None:
        running.stop_ring_timer()
        self.calls.pop(running.id, None)
        for leg in running.legs.values():
            self._by_leg.pop(leg, None)
        running.span.set_attribute("call.gate", running.call.gate)
        running.span.end()
        active.add(-1)
