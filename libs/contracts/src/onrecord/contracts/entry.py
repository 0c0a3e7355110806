"""A committed entry as consumers see it: the event, its place in the log, its sealed fields."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any


class MalformedEntry(ValueError):
    """The bytes are not an entry; the message says what is wrong."""


@dataclass(frozen=True)
class Entry:
    """One leaf of the log: `fields` are open; `commitments` and `sealed` belong to the rest.

    Nothing here is verified: `onrecord.ledger` checks bytes and proofs.
    """

    index: int
    seq: int
    stream: str
    call: str
    event_id: str
    type: str
    time: str
    recorded_at: str
    fields: dict[str, Any]
    commitments: dict[str, bytes] = field(default_factory=dict)
    sealed: dict[str, bytes] = field(default_factory=dict)
    traceparent: str = ""

    @classmethod
    def from_canonical(
        cls, canonical: bytes | str, sealed: dict[str, bytes], traceparent: str = ""
    ) -> Entry:
        """Read an entry's canonical bytes. Raises MalformedEntry."""
        try:
            return cls._from_object(json.loads(canonical), sealed, traceparent)
        except ValueError as error:
            raise MalformedEntry(f"not an entry: {error}") from error

    @classmethod
    def from_kafka(cls, value: bytes, traceparent: str = "") -> Entry:
        """Read a Kafka record's value, `{"canonical": …, "sealed": …}`. Raises MalformedEntry."""
        try:
            record = json.loads(value)
            sealed = {name: base64.b64decode(text) for name, text in record["sealed"].items()}
            return cls._from_object(record["canonical"], sealed, traceparent)
        except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
            raise MalformedEntry(f"not a record of the ledger: {error!r}") from error

    @classmethod
    def _from_object(cls, body: Any, sealed: dict[str, bytes], traceparent: str) -> Entry:
        try:
            return cls(
                index=int(body["index"]),
                seq=int(body["seq"]),
                stream=str(body["stream"]),
                call=str(body["call"]),
                event_id=str(body["event_id"]),
                type=str(body["type"]),
                time=str(body["time"]),
                recorded_at=str(body["recorded_at"]),
                fields=dict(body["fields"]),
                commitments={n: base64.b64decode(c) for n, c in body["sealed"].items()},
                sealed=sealed,
                traceparent=traceparent,
            )
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise MalformedEntry(f"not an entry: {error!r}") from error
