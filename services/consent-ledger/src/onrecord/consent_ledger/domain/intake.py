"""Checking what comes in at the door: an event is good, or the error names event and field."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any

from onrecord.consent_ledger.domain.errors import BadEvent, ForeignFact
from onrecord.contracts.event import Event, parse_time
from onrecord.contracts.fact import Fact
from onrecord.contracts.registry import FACTS
from onrecord.ledger.canonical import canonical_json
from onrecord.ledger.errors import CanonicalError
from pydantic import ValidationError

MAX_FIELDS = 60_000
"""Octets of an event's fields: with its envelope an entry stays below 64 KiB."""

LEDGER = "consent-ledger"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/*-]{0,254}")
_STREAM = re.compile(r"(call|recording|subject|notice|policy)/([A-Za-z0-9][A-Za-z0-9._-]{0,127})")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def read_event(
    *,
    event_id: str,
    event_type: str,
    stream: str,
    call: str,
    time: str,
    fields_json: str,
    traceparent: str,
) -> Event:
    """Check an event from outside against the contracts. Raises BadEvent.

    Facts that only the ledger itself states are refused here; `check_appender` has the others.
    """
    if not _ID.fullmatch(event_id):
        raise BadEvent("event_id", "event_id", f"{event_id[:64]!r} is no event id")
    fact_class = FACTS.get(event_type)
    if fact_class is None:
        raise BadEvent(event_id, "type", f"{event_type[:64]!r} is no event of the table")
    if LEDGER in fact_class.APPENDED_BY:
        raise BadEvent(event_id, "type", f"{event_type} is stated by the ledger alone")
    _check_stream(event_id, fact_class, stream, call)
    try:
        parse_time(time)
    except ValueError as error:
        raise BadEvent(event_id, "time", "UTC as YYYY-MM-DDThh:mm:ss.ffffffZ is needed") from error
    if traceparent and not _TRACEPARENT.fullmatch(traceparent):
        raise BadEvent(event_id, "traceparent", "not a W3C traceparent")
    return Event(
        event_id=event_id,
        stream=stream,
        call=call,
        time=time,
        fact=_fact(event_id, fact_class, fields_json),
        traceparent=traceparent,
    )


def check_appender(event: Event, services: Collection[str]) -> None:
    """Refuse a fact that none of these services states, by the event table. Raises ForeignFact."""
    if event.fact.appenders.isdisjoint(services):
        owners = " or ".join(sorted(event.fact.appenders))
        raise ForeignFact(f"{event.event_id}: {event.type} is stated by {owners}")


def _check_stream(event_id: str, fact_class: type[Fact], stream: str, call: str) -> None:
    found = _STREAM.fullmatch(stream)
    if found is None:
        raise BadEvent(event_id, "stream", f"{stream[:64]!r} is not <kind>/<id>")
    kind, stream_id = found.groups()
    # What is said of consent may outlive the call, so it may stand in the person's stream as well.
    allowed = {fact_class.STREAM}
    if fact_class.TYPE.startswith("consent."):
        allowed.add("subject")
    if kind not in allowed:
        raise BadEvent(event_id, "stream", f"{fact_class.TYPE} belongs to {fact_class.STREAM}/")
    if kind not in ("call", "recording"):
        return
    if call != stream_id:
        raise BadEvent(event_id, "call", f"must be {stream_id}, as the stream says")
    # The id says what it is the id of. Otherwise one event could take another's: the permit that
    # a call is going to ask for, or its verdict.
    own = f"{call}:{fact_class.TYPE}"
    if event_id != own and not event_id.startswith(f"{own}:"):
        raise BadEvent(event_id, "event_id", f"must be {own}, or begin with it and a colon")


def _fact(event_id: str, fact_class: type[Fact], fields_json: str) -> Fact:
    if len(fields_json.encode()) > MAX_FIELDS:
        raise BadEvent(event_id, "fields_json", f"more than {MAX_FIELDS} octets")
    try:
        fields: Any = json.loads(fields_json)
        canonical_json(fields)
    except (ValueError, RecursionError) as error:
        raise BadEvent(event_id, "fields_json", f"not JSON: {error}") from error
    except CanonicalError as error:
        raise BadEvent(event_id, "fields_json", error.detail) from error
    try:
        return fact_class.model_validate(fields)
    except ValidationError as error:
        # The values stay out of the message: they may be personal.
        problem = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "fields_json"
        raise BadEvent(event_id, field, problem["msg"]) from error
