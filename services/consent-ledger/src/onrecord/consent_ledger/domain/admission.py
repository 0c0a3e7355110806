"""Whether a recording may start: decided again from committed facts, never from the caller's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from onrecord.consent_ledger.domain.call import Call
from onrecord.consent_ledger.domain.errors import FactsMissing, LedgerRefusal
from onrecord.contracts import events
from onrecord.contracts.event import Event, call_event, format_time, parse_time
from onrecord.ledger import permit as permits
from onrecord.ledger.errors import PermitError
from onrecord.policy import CallFacts, Decision, Opening, PolicyError, decide, load_pack, may_open

_PERMIT_ID = re.compile(r"(?P<call>[A-Za-z0-9][A-Za-z0-9._-]{0,127}):p(?P<number>[0-9]{1,6})")


class BadRequest(LedgerRefusal):
    """A request that can never succeed as it is."""

    reason = "bad_request"


@dataclass(frozen=True, slots=True)
class PermitRequest:
    """Who asks for which call's permit, relying on which facts, for which recorder."""

    call: str
    permit_id: str
    event_ids: tuple[str, ...]
    media_node: str

    @property
    def number(self) -> str:
        """The caller's count of its requests, the last part of the permit id."""
        return self.permit_id.rpartition(":p")[2]


def check_request(request: PermitRequest) -> None:
    """Refuse what no state of the ledger could make good. Raises BadRequest."""
    found = _PERMIT_ID.fullmatch(request.permit_id)
    if found is None or found["call"] != request.call:
        raise BadRequest(f"permit_id: must be {request.call}:p<number>")
    if not request.media_node or len(request.media_node) > 128:
        raise BadRequest("media_node: the recorder's node is needed")
    if not request.event_ids or len(request.event_ids) > 64:
        raise BadRequest("event_ids: name between 1 and 64 facts that you rely on")


def answer(
    request: PermitRequest, call: Call, now: datetime, *, lifetime: float, key_id: str
) -> Event:
    """Decide on the fold of the call's stream: the fact `permit.issued` or `permit.refused`.

    `lifetime` in seconds limits the permit's first use. Raises FactsMissing when a fact that the
    caller relies on is not in the fold: it may be on its way; BadRequest when a notice's position
    is the last that there is, so that no packet can follow it.
    """
    missing = [event_id for event_id in request.event_ids if event_id not in call.event_ids]
    if missing:
        raise FactsMissing(missing)
    opening = _judge(call)
    if not opening.allowed:
        refused = events.PermitRefused(permit_id=request.permit_id, reason=opening.reason)
        return call_event(call.id, refused, now, request.number)
    decided = call.decided
    assert decided is not None  # noqa: S101 — _judge refuses a call without a decision
    issued = events.PermitIssued(
        permit_id=request.permit_id,
        legs=_legs(call, opening.relied_on),
        parties=_parties(call),
        pack=decided.pack,
        pack_version=decided.pack_version,
        relied_on=opening.relied_on,
        media_node=request.media_node,
        not_after=format_time(now + timedelta(seconds=lifetime)),
        payload_sha256="0" * 64,
    )
    try:
        payload = permits.encode(permit_of(issued, call.id, now, key_id))
    except PermitError as error:
        raise BadRequest(f"no permit can say this: {error}") from error
    issued = issued.model_copy(update={"payload_sha256": hashlib.sha256(payload).hexdigest()})
    return call_event(call.id, issued, now, request.number)


def permit_of(
    issued: events.PermitIssued, call: str, issued_at: datetime, key_id: str
) -> permits.Permit:
    """The permit that the committed fact stands for; the same fact always gives the same permit."""
    return permits.Permit(
        permit_id=issued.permit_id,
        call=call,
        legs={leg.leg: _position(leg.first_kept) for leg in issued.legs},
        parties=tuple(issued.parties),
        pack=f"{issued.pack}/{issued.pack_version}",
        entries=tuple(issued.relied_on),
        audience=issued.media_node,
        issued_at=issued_at,
        not_after=parse_time(issued.not_after),
        key_id=key_id,
    )


def _judge(call: Call) -> Opening:
    """The reasons of `onrecord.policy.may_open`, and those that come before any policy."""
    if call.started is None or call.decided is None:
        return Opening(False, "not_decided", ())
    if call.started.kind != "recorded":
        return Opening(False, call.started.kind, ())
    if call.started.session == "recording" and not call.streams:
        return Opening(False, "no_streams", ())
    if call.ended is not None or call.verdict is not None:
        return Opening(False, "call_ended", ())
    if not call.decided.may_record:
        return Opening(False, "not_allowed", ())
    decision = _decide_again(call, call.decided)
    if decision is None:
        return Opening(False, "unknown_pack", ())
    evidence = [notice.as_evidence() for notice in call.evidence]
    return may_open(decision, evidence, call.present, call.objections)


def _decide_again(call: Call, decided: events.PolicyDecided) -> Decision | None:
    """Decide by the pack that was named, in the version that is here; None when there is none."""
    try:
        pack = load_pack(decided.pack)
    except PolicyError:
        return None
    if pack.version != decided.pack_version or call.started_at is None:
        return None
    purposes = [purpose for owed in decided.obligations for purpose in owed.purposes]
    facts = CallFacts(
        parties=tuple(sorted(call.present.union(owed.party for owed in decided.obligations))),
        purposes=tuple(dict.fromkeys(purposes)),
        language=decided.obligations[0].language if decided.obligations else "",
        day=call.started_at.date(),
    )
    return _in_their_languages(decide(facts, pack), decided)


def _in_their_languages(decision: Decision, decided: events.PolicyDecided) -> Decision:
    """The decision with each party owed its own language, as was decided."""
    languages: dict[str, str] = {owed.party: owed.language for owed in decided.obligations}
    obligations = tuple(
        replace(owed, language=languages.get(owed.party, owed.language))
        for owed in decision.obligations
    )
    return replace(decision, obligations=obligations)


def _legs(call: Call, relied_on: Sequence[str]) -> tuple[events.PermitLeg, ...]:
    """What may be kept of each told party, and of what was played to it.

    A party's own words count from the packet after the last one received when its notice ended.
    What we played is ours from the first packet on.
    """
    if call.started is not None and call.started.session == "recording":
        return _stream_legs(call, relied_on)
    legs: list[events.PermitLeg] = []
    for notice in call.evidence:
        if notice.event_id not in relied_on or notice.fact.span is None:
            continue
        party = notice.fact.party
        first = _next(notice.fact.span.received)
        legs.append(events.PermitLeg(leg=party, first_kept=first))
        played: events.Leg = "service-caller" if party == "caller" else "service-agent"
        legs.append(events.PermitLeg(leg=played))
    return tuple(sorted(legs, key=lambda leg: leg.leg))


def _stream_legs(call: Call, relied_on: Sequence[str]) -> tuple[events.PermitLeg, ...]:
    """What may be kept of each stream of a recording session.

    Anybody may be heard in any stream, so each counts from where it stood when the last of the
    parties was said to have been told; from its beginning where they were told before it.
    """
    reached: dict[str, events.Position] = {}
    for notice in call.evidence:
        if notice.event_id in relied_on:
            reached |= {one.leg: one.position for one in notice.fact.received if one.position}
    return tuple(
        events.PermitLeg(leg=leg, first_kept=_next(reached.get(leg))) for leg in call.streams
    )


def _next(received: events.Position | None) -> events.Position | None:
    return received and received.model_copy(update={"sequence": received.sequence + 1})


def _parties(call: Call) -> tuple[events.Party, ...]:
    every: tuple[events.Party, ...] = ("caller", "agent")
    return tuple(party for party in every if party in call.present)


def _position(position: events.Position | None) -> permits.Position | None:
    if position is None:
        return None
    return permits.Position(position.ssrc, position.sequence, position.timestamp)
