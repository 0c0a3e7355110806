"""What is known about a call before anybody is rung: route, rules, offer, facts to enter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Literal

from onrecord.policy import CallFacts, Decision, Pack, decide
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.negotiation import caller_audio
from onrecord.signalling.routes import Emergency, OnNoPermit, Route, Routes
from onrecord.sip.headers import Address
from onrecord.sip.message import Request
from onrecord.sip.sdp import Media, SdpError
from onrecord.sip.uri import SipUri

Kind = Literal["recorded", "unrecorded", "emergency"]
PARTIES: tuple[Party, ...] = ("caller", "agent")
PASSED_ON = ("P-Asserted-Identity", "Privacy", "User-to-User")
_LONGEST_TEXT = 256


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

    `audio` and `decision` are None where the description passes through untouched. `started` and
    `decided` are the fields of the facts.
    """

    call_id: str
    kind: Kind
    line: str
    on_no_permit: OnNoPermit
    offer: bytes
    audio: Media | None
    decision: Decision | None
    targets: tuple[SipUri, ...]
    caller: Address
    headers: tuple[tuple[str, str], ...]
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
    if isinstance(rule, Route) and rule.record:
        try:
            audio = caller_audio(request.body)
        except SdpError as fault:
            return Refusal(488, fault.reason)
        decision = decide(CallFacts(PARTIES, rule.purposes, rule.language, day), office.pack)
    return Plan(
        call_id=call_id,
        kind=kind,
        line=rule.line if isinstance(rule, Route) else "",
        on_no_permit=rule.on_no_permit if isinstance(rule, Route) else "continue",
        offer=request.body,
        audio=audio,
        decision=decision,
        targets=tuple(to if to.user else to.with_user(request.uri.user) for to in rule.to),
        caller=request.from_,
        headers=tuple((n, v) for n in PASSED_ON for v in request.headers.fields(n)),
        max_forwards=request.max_forwards - 1,
        session_id=session_id,
        started=_started(office.worker, request, rule, kind),
    )


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
