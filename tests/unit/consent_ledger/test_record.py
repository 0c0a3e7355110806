"""Records: canonical bytes inside the value as they are, sealed values beside them."""

import base64
import json

from ledgers import CANARY, NOON, fact
from onrecord.consent_ledger.domain.entries import Head, StoredEntry, assemble, draft, sealing_keys
from onrecord.consent_ledger.domain.record import to_record
from onrecord.contracts.entry import Entry
from onrecord.contracts.event import Event
from onrecord.ledger.canonical import canonical_json


def entry_of(event: Event) -> StoredEntry:
    """The event as the first entry of a log."""
    secrets = dict.fromkeys(sealing_keys(event).values(), bytes(32))
    made = draft(event, secrets, bytes)
    return assemble(Head(-1, None), {event.stream: 0}, [made], NOON)[0]


def test_the_value_is_canonical_and_holds_the_canonical_bytes() -> None:
    """The value is RFC 8785 as a whole, and the leaf's bytes are a literal part of it."""
    entry = entry_of(fact("c1", "call.started", {"caller_number": CANARY}))
    record = to_record(entry)
    value = json.loads(record.value)
    assert canonical_json(value) == record.value
    assert entry.canonical in record.value
    assert {name: base64.b64decode(box) for name, box in value["sealed"].items()} == entry.sealed
    assert entry.sealed.keys() == {"caller_number", "callee_number"}
    assert CANARY.encode() not in record.value
    assert Entry.from_kafka(record.value).commitments.keys() == entry.sealed.keys()


def test_a_record_goes_by_its_call_and_says_what_it_is() -> None:
    """Key, topic and CloudEvents headers follow from the entry; no trace, no header."""
    record = to_record(entry_of(fact("c1", "call.ended")))
    headers = dict(record.headers)
    assert (record.topic, record.key) == ("onrecord.calls", b"c1")
    assert headers["ce_id"] == b"c1:call.ended"
    assert headers["ce_type"] == b"onrecord.call.ended.v1"
    assert headers["seq"] == headers["index"] == b"0"
    assert "traceparent" not in headers


def test_what_concerns_no_call_keeps_its_order_by_stream() -> None:
    """Without a call the stream is the key."""
    consent = fact("c1", "consent.given")
    lasting = Event(consent.event_id, "subject/s1", "", consent.time, consent.fact)
    record = to_record(entry_of(lasting))
    assert (record.topic, record.key) == ("onrecord.consents", b"subject/s1")
