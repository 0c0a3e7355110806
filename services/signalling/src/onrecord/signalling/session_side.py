"""The SIP half of a recording session's effects, and what SIP events mean to it (RFC 7866)."""

from __future__ import annotations

from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.plan import Refusal
from onrecord.signalling.domain.session_plan import ACCEPTED, read_offer
from onrecord.signalling.running import RunningCall
from onrecord.sip import events as sip
from onrecord.sip.capabilities import Capabilities
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.siprec.request import snapshot_request

CAPABILITIES = Capabilities(frozenset({"siprec"}), ACCEPTED)
"""What a recording server says of itself in Supported and Accept (§6.1.1, §9.1)."""

_FEATURE_TAG = "+sip.srs"


def carry_out(endpoint: Endpoint, running: RunningCall, effect: do.Effect, now: float) -> bool:
    """Give the endpoint the command that `effect` asks for; False when it is no SIP effect."""
    leg = running.legs["caller"]
    match effect:
        case do.Answer(_, body):
            contact = (("Contact", f"{running.contact};{_FEATURE_TAG}"),)
            endpoint.answer(leg, body, now, headers=contact)
        case do.Refuse(_, status, reason):
            endpoint.reject(leg, status, now, reason=reason)
        case do.Reoffer(_, body):
            endpoint.reinvite(leg, body, now)
        case do.HangUp():
            endpoint.bye(leg, now)
        case do.AskSnapshot(reason):
            part = snapshot_request(reason)
            endpoint.ask(leg, "UPDATE", now, headers=part.headers, body=part.body)
        case _:
            return False
    return True


def meaning(event: sip.Event) -> on.Input | Refusal | None:
    """What an event on the client's leg means; a `Refusal` is to be answered, None is nothing."""
    match event:
        case sip.Cancelled():
            return on.CallerCancelled()
        case sip.Acked(_, body):
            return on.Acknowledged("caller", body)
        case sip.Bye():
            return on.HungUp("caller")
        case sip.TimedOut():
            return on.HungUp("caller", is_lost=True)
        case sip.Reinvited(_, _, request):
            read = read_offer(request)
            if isinstance(read, Refusal):
                return read
            return on.Redescribed(read, asks_offer=request.method == "INVITE" and not read.media)
        case sip.ReinviteAnswered(_, body):
            return on.ReofferAnswered("caller", body)
        case sip.ReinviteRejected(_, status):
            return on.ReofferRefused("caller", status)
    return None
