"""What is known about a recording session (RFC 7866) before it is answered: line, rules, offer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from onrecord.policy import CallFacts, Decision, decide
from onrecord.signalling.domain.plan import (
    PARTIES,
    Kind,
    Office,
    Refusal,
    decided_fields,
)
from onrecord.signalling.domain.session_facts import Speakers
from onrecord.signalling.routes import OnNoPermit, SessionLine
from onrecord.sip.errors import SipError
from onrecord.sip.message import Request
from onrecord.sip.siprec import description, offer
from onrecord.sip.siprec.document import MetadataError
from onrecord.sip.siprec.offer import RecordingOffer
from onrecord.sip.siprec.state import RecordingState

ACCEPTED = (offer.SDP_TYPE, "multipart/mixed", *offer.METADATA_TYPES)
"""Media types that a recording session may bring (RFC 7866 §9.1)."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """One recording session, decided but not yet begun; `started` are its first fact's fields.

    `takes_update`: the client does not say that it could not (RFC 3311 §5.1).
    """

    kind: ClassVar[Kind] = "recorded"
    on_no_permit: ClassVar[OnNoPermit] = "continue"

    call_id: str
    session: SessionLine
    offer: RecordingOffer
    decision: Decision
    session_id: int
    started: dict[str, object]
    takes_update: bool = True

    @property
    def line(self) -> str:
        """The line that stands in the facts."""
        return self.session.line

    @property
    def decided(self) -> dict[str, object]:
        """The fields of `policy.decided`."""
        return decided_fields(self.decision)


def plan_session(
    office: Office, call_id: str, request: Request, day: date, session_id: int
) -> SessionPlan | Refusal:
    """Read a recording session's INVITE; whoever may not or cannot be served is refused."""
    line = office.routes.sessions
    if line is None:
        return Refusal(420, "no_siprec", (("Unsupported", "siprec"),))
    read = read_offer(request)
    if isinstance(read, Refusal):
        return read
    if read.media and not description.recordable(read.media):
        return Refusal(488, _why_unusable(read))
    return SessionPlan(
        call_id=call_id,
        session=line,
        offer=read,
        decision=decide(CallFacts(PARTIES, line.purposes, line.language, day), office.pack),
        session_id=session_id,
        started=_started(office.worker, request, line, read),
        takes_update="UPDATE" in (request.headers.values("Allow") or ("UPDATE",)),
    )


def read_offer(request: Request) -> RecordingOffer | Refusal:
    """Take an INVITE, re-INVITE or UPDATE of a recording session apart, or say why not."""
    try:
        return offer.read(request)
    except SipError as fault:
        status = fault.status or 400
        headers = (("Accept", ", ".join(ACCEPTED)),) if status == 415 else ()
        return Refusal(status, fault.reason, headers)


def _why_unusable(read: RecordingOffer) -> str:
    encrypted = any("SAVP" in line.media.protocol.upper() for line in read.media)
    return "srtp_not_supported" if encrypted else "no_common_codec"


def _started(
    worker: str, request: Request, line: SessionLine, read: RecordingOffer
) -> dict[str, object]:
    state = RecordingState()
    if read.snapshot is not None:
        try:
            state = state.merge(read.snapshot, 0.0)
        except MetadataError:
            state = RecordingState()  # the session's own machine says so in its facts
    kept = [bool(line.codecs) for line in read.media]
    speakers = Speakers.of(state, description.labels(read.media), kept)
    ids = {found.kind: found.value for found in (*state.correlation, *read.correlation)}
    return {
        "direction": "inbound",
        "session": "recording",
        "route": line.name,
        "line": line.line,
        "business_unit": line.business_unit,
        "worker": worker,
        "sip_call_id_hash": hashlib.sha256(request.call_id.encode()).hexdigest(),
        "ucid": ids.get("ucid", "")[:256],
        **speakers.numbers(),
    }
