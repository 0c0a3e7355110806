"""What is known about a call before anybody is rung: route, rules, offer, facts to enter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Literal

from onrecord.policy import CallFacts, Decision, Pack, decide
from onrecord.signalling.domain.crossing import Fields, crossing
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.negotiation import caller_audio
from onrecord.signalling.routes import Emergency, OnNoPermit, Route, Routes
from onrecord.sip import multipart
from onrecord.sip.capabilities import SDP_TYPE
from onrecord.sip.errors import SipError
from onrecord.sip.headers import Address
from onrecord.sip.message import Request
from onrecord.sip.sdp import Media
from onrecord.sip.uri import SipUri

Kind = Literal["recorded", "unrecorded", "emergency"]
PARTIES: tuple[Party, ...] = ("caller", "agent")
_LONGEST_TEXT = 256
_UNSUPPORTED_TYPE = 415


@dataclass(frozen=True, slots=True)
class Office:
    """What one worker knows at every call: routes, rules, its name."""

    routes: Routes
    pack: Pack
    worker: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that is not routed at all: the status for the caller and a slug for the log."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """One call, decided but not yet begun.

    `audio` and `decision` are None where the description passes through untouched; `content_type`
    is what the caller called it. `headers` go with the call to the agent's side. `started` and
    `decided` are the fields of the facts.
    """

    call_id: str
    kind: Kind
    line: str
    on_no_permit: OnNoPermit
    offer: bytes
    content_type: str
    audio: Media | None
    decision: Decision | None
    targets: tuple[SipUri, ...]
    caller: Address
    headers: Fields
    max_forwards: int
    session_id: int
    started: dict[str, object]

    @property
    def decided(self) -> dict[str, object]:
        """The fields of `policy.decided`; empty where no policy was asked."""
        return {} if self.decision is None else decided_fields(self.decision)


def decided_fields(decision: Decision) -> dict[str, object]:
    """The fields of `policy.decided`."""
    return {
        "pack": decision.pack,
        "pack_version": decision.pack_version,
        "rules": decision.rule_ids,
        "obligations": [
            {
                "party": owed.party,
                "method": owed.method,
                "language": owed.language,
                "acts": owed.acts,
                "purposes": owed.purposes,
            }
            for owed in decision.obligations
        ],
        "may_record": decision.may_record,
        "retention": decision.retention,
    }


def plan_call(
    office: Office, call_id: str, request: Request, day: date, session_id: int
) -> Plan | Refusal:
    """Route a call: emergency numbers first, before the description is even read."""
    rule = office.routes.find(request.uri.number)
    if rule is None:
        return Refusal(404, "no_route")
    if isinstance(rule, Emergency):
        kind: Kind = "emergency"
    else:
        kind = "recorded" if rule.record else "unrecorded"
    audio = decision = None
    offer, content_type = request.body, request.headers.get("Content-Type") or ""
    if isinstance(rule, Route) and rule.record:
        try:
            offer, content_type = _description(request), ""
            audio = caller_audio(offer)
        except SipError as fault:
            accept = (("Accept", SDP_TYPE),) if fault.status == _UNSUPPORTED_TYPE else ()
            return Refusal(fault.status or 400, fault.reason, accept)
        decision = decide(CallFacts(PARTIES, rule.purposes, rule.language, day), office.pack)
    return Plan(
        call_id=call_id,
        kind=kind,
        line=rule.line if isinstance(rule, Route) else "",
        on_no_permit=rule.on_no_permit if isinstance(rule, Route) else "continue",
        offer=offer,
        audio=audio,
        decision=decision,
        targets=_targets(rule, request.uri),
        caller=request.from_,
        headers=crossing("INVITE", request.headers),
        content_type=content_type,
        max_forwards=request.max_forwards - 1,
        session_id=session_id,
        started=_started(office.worker, request, rule, kind),
    )


def _targets(rule: Emergency | Route, dialled: SipUri) -> tuple[SipUri, ...]:
    """The next hops, each with what was dialled; a service has no digits, so it gets a number's."""
    user = dialled.user
    if isinstance(rule, Emergency) and dialled.is_emergency_service:
        user = rule.numbers[0]
    return tuple(to if to.user else to.with_user(user) for to in rule.to)


def _description(request: Request) -> bytes:
    """The caller's description, which may be one part of several (RFC 5621).

    Raises `SipError` with 415 for a body without one, 400 for parts that cannot be read.
    """
    parts = multipart.read(request.headers, request.body)
    found = [part.body for part in parts if part.media_type in ("", SDP_TYPE)]
    if parts and not found:
        raise SipError("no_description", f"a body must have {SDP_TYPE}", status=_UNSUPPORTED_TYPE)
    return found[0] if found else b""


def _started(
    worker: str, request: Request, rule: Emergency | Route, kind: Kind
) -> dict[str, object]:
    """The fields of `call.started`; numbers and names only where the call may be recorded."""
    fields: dict[str, object] = {
        "direction": "inbound",
        "kind": kind,
        "route": rule.name if isinstance(rule, Route) else "emergency",
        "worker": worker,
        "sip_call_id_hash": hashlib.sha256(request.call_id.encode()).hexdigest(),
    }
    if isinstance(rule, Route):
        fields |= {"line": rule.line, "business_unit": rule.business_unit}
    if kind == "recorded":
        fields |= {
            "caller_number": _text(request.from_.uri.number),
            "caller_name": _text(request.from_.display),
            "callee_number": _text(request.uri.number),
            "callee_name": _text(request.to.display),
        }
    return {name: value for name, value in fields.items() if value is not None}


def _text(value: str) -> str | None:
    return value[:_LONGEST_TEXT] or None
