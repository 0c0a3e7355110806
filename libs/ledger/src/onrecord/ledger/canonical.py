"""Canonical bytes of a ledger entry: what a leaf of the tree is the hash of.

RFC 8785 (JSON Canonicalization Scheme) gives one spelling of one value. The bytes are frozen:
whatever was written once must hash to the same leaf for as long as anybody keeps a proof.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rfc8785
from onrecord.ledger.errors import CanonicalError
from onrecord.ledger.instant import format_time, parse_time

COMMITMENT_SIZE = 32
"""Octets of a sealed field's commitment."""

_MEMBERS = frozenset(
    {
        "index",
        "event_id",
        "type",
        "stream",
        "seq",
        "call",
        "time",
        "recorded_at",
        "fields",
        "sealed",
    }
)


@dataclass(frozen=True, slots=True)
class CanonicalEntry:
    """What the tree commits to: one entry without any personal value.

    `index` is its place in the log, `seq` its place in `stream`, both from 0 without gaps. `time`
    is the appender's, `recorded_at` the ledger's. `fields` are the open fields, `sealed` the
    32-byte commitments of the others by name.
    """

    index: int
    event_id: str
    type: str
    stream: str
    seq: int
    call: str
    time: datetime
    recorded_at: datetime
    fields: Mapping[str, Any]
    sealed: Mapping[str, bytes]


def canonical_json(value: Any) -> bytes:
    """Spell a JSON value by RFC 8785; what JSON cannot carry exactly raises `CanonicalError`.

    Refused: integers beyond ±(2^53 - 1), NaN and infinities, lone surrogates, names that are not
    text, other types.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise CanonicalError("not_canonical", str(error)) from error


def load_canonical(data: bytes) -> Any:
    """Read JSON in its canonical spelling only.

    Repeated members and any other spelling raise `CanonicalError`.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CanonicalError("not_canonical", f"not JSON: {error}") from error
    if canonical_json(value) != data:
        raise CanonicalError("not_canonical", "not the canonical spelling (RFC 8785)")
    return value


def encode_entry(entry: CanonicalEntry) -> bytes:
    """Give the canonical bytes; what JSON cannot carry exactly raises `CanonicalError`."""
    return canonical_json(
        {
            "index": entry.index,
            "event_id": entry.event_id,
            "type": entry.type,
            "stream": entry.stream,
            "seq": entry.seq,
            "call": entry.call,
            "time": format_time(entry.time),
            "recorded_at": format_time(entry.recorded_at),
            "fields": entry.fields,
            "sealed": {
                name: base64.b64encode(value).decode() for name, value in entry.sealed.items()
            },
        }
    )


def decode_entry(data: bytes) -> CanonicalEntry:
    """Read canonical bytes; what `encode_entry` would not have written raises `CanonicalError`.

    Does not check that `type` and `fields` are known: the contracts do.
    """
    document = load_canonical(data)
    if not isinstance(document, dict) or document.keys() != _MEMBERS:
        raise CanonicalError(
            "not_canonical", f"an entry has exactly the members {', '.join(sorted(_MEMBERS))}"
        )
    return CanonicalEntry(
        index=_count(document, "index"),
        event_id=_text(document, "event_id"),
        type=_text(document, "type"),
        stream=_text(document, "stream"),
        seq=_count(document, "seq"),
        call=_text(document, "call"),
        time=parse_time(_text(document, "time")),
        recorded_at=parse_time(_text(document, "recorded_at")),
        fields=_object(document, "fields"),
        sealed={
            name: _commitment(name, value) for name, value in _object(document, "sealed").items()
        },
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is repeated")
    return members


def _text(document: dict[str, Any], member: str) -> str:
    value = document[member]
    if not isinstance(value, str):
        raise CanonicalError("not_canonical", f"{member} must be text")
    return value


def _count(document: dict[str, Any], member: str) -> int:
    value = document[member]
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise CanonicalError("not_canonical", f"{member} must be a whole number from 0")
    return value


def _object(document: dict[str, Any], member: str) -> dict[str, Any]:
    value = document[member]
    if not isinstance(value, dict):
        raise CanonicalError("not_canonical", f"{member} must be an object")
    return value


def _commitment(name: str, value: Any) -> bytes:
    try:
        commitment = base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise CanonicalError("not_canonical", f"sealed.{name} is not base64") from error
    if len(commitment) != COMMITMENT_SIZE or base64.b64encode(commitment).decode() != value:
        raise CanonicalError("not_canonical", f"sealed.{name} is not {COMMITMENT_SIZE} octets")
    return commitment
