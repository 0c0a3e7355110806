"""The SIP half of a call's effects, and what SIP events mean to a call."""

from __future__ import annotations

from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.call import Call
from onrecord.signalling.domain.crossing import crossing
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.plan import Plan
from onrecord.signalling.running import RunningCall
from onrecord.sip import events as sip
from onrecord.sip.client_leg import Invitation
from onrecord.sip.endpoint import Endpoint

SILENCE_SECONDS = 4.0
"""How long a next hop may say nothing before the next one is tried (timer B would take 32 s)."""


def carry_out(endpoint: Endpoint, running: RunningCall, effect: do.Effect, now: float) -> bool:
    """Give the endpoint the command that `effect` asks for; False when it is no SIP effect."""
    match effect:
        case do.RingCaller(status, reason, body, headers):
            leg = running.legs["caller"]
            endpoint.ring(leg, now, status=status, reason=reason, body=body, headers=headers)
        case do.Answer(party, body, headers):
            endpoint.answer(running.legs[party], body, now, headers=headers)
        case do.Refuse(party, status, reason, headers):
            endpoint.reject(running.legs[party], status, now, reason=reason, headers=headers)
        case do.InviteAgent() if isinstance(running.call, Call):
            running.legs["agent"] = _invite(endpoint, running.call.plan, effect, now)
        case do.Acknowledge(party, body):
            endpoint.acknowledge(running.legs[party], body, now)
        case do.Reoffer(party, body):
            endpoint.reinvite(running.legs[party], body, now)
        case do.HangUp(party, headers):
            if party in running.legs:
                endpoint.bye(running.legs[party], now, headers=headers)
        case _:
            return False
    return True


def meaning(event: sip.Event, party: Party) -> on.Input | None:
    """Return what an event on a party's leg means to the call; None when it means nothing."""
    if party == "agent" and (input_ := _agents_own(event)) is not None:
        return input_
    match event:
        case sip.Cancelled():
            return on.CallerCancelled()
        case sip.Acked(_, body):
            return on.Acknowledged(party, body)
        case sip.Bye(_, headers):
            return on.HungUp(party, headers=crossing("BYE", headers))
        case sip.TimedOut():
            return on.HungUp(party, is_lost=True)
        case sip.Reinvited(_, body, _):
            return on.Reoffered(party, body)
        case sip.ReinviteAnswered(_, body):
            return on.ReofferAnswered(party, body)
        case sip.ReinviteRejected(_, status):
            return on.ReofferRefused(party, status)
    return None


def _agents_own(event: sip.Event) -> on.Input | None:
    """What only the agent's leg can say: the fate of our INVITE."""
    match event:
        case sip.Ringing(_, status, reason, body, headers):
            return on.AgentRinging(status, reason, body, crossing("18x", headers))
        case sip.Answered(_, body, headers):
            return on.AgentAnswered(body, crossing("200", headers))
        case sip.Rejected(_, status, reason, headers):
            return on.AgentRefused(status, reason, crossing("refusal", headers))
        case sip.TimedOut(_, "response"):
            return on.AgentRefused(408, "")
    return None


def _invite(endpoint: Endpoint, plan: Plan, effect: do.InviteAgent, now: float) -> sip.LegId:
    invitation = Invitation(
        target=effect.target,
        caller=plan.caller,
        body=effect.body,
        silence=None if effect.is_last else SILENCE_SECONDS,
        headers=plan.headers,
        content_type=plan.content_type if effect.body == plan.offer else "",
        max_forwards=plan.max_forwards,
    )
    return endpoint.invite(invitation, now)
