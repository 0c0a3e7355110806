"""From a fact to a committed entry: sealing, numbering, canonical bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onrecord.contracts.event import Event, parse_time
from onrecord.ledger import merkle, sealing
from onrecord.ledger.canonical import CanonicalEntry, decode_entry, encode_entry


@dataclass(frozen=True, slots=True)
class Draft:
    """A fact ready to be appended: its personal fields are sealed, its place is not given yet."""

    event_id: str
    type: str
    stream: str
    call: str
    time: datetime
    fields: Mapping[str, Any]
    commitments: Mapping[str, bytes]
    ciphertexts: Mapping[str, bytes]
    traceparent: str


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One leaf of the log, as it is stored: `canonical` is what `leaf` is the hash of."""

    index: int
    event_id: str
    stream: str
    seq: int
    call: str
    type: str
    canonical: bytes
    sealed: Mapping[str, bytes]
    leaf: bytes
    traceparent: str

    def read(self) -> CanonicalEntry:
        """The entry's content, from its canonical bytes."""
        return decode_entry(self.canonical)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of the log: its index (-1 for an empty log) and when it was recorded."""

    index: int
    recorded_at: datetime | None


def sealing_keys(event: Event) -> dict[str, str]:
    """The personal fields that the event has, each with the id of the secret that seals it."""
    return {
        name: f"{event.stream}/{party}"
        for name, party in event.fact.sealed_fields().items()
        if getattr(event.fact, name) is not None
    }


def draft(
    event: Event, secrets: Mapping[str, bytes], random_octets: Callable[[int], bytes]
) -> Draft:
    """Seal the event's personal fields with `secrets` (by id, as `sealing_keys` names them)."""
    fields = event.fact.model_dump(mode="json", exclude_none=True)
    commitments: dict[str, bytes] = {}
    ciphertexts: dict[str, bytes] = {}
    for name, secret_id in sealing_keys(event).items():
        sealed = sealing.seal(
            sealing.derive_keys(secrets[secret_id]),
            event.event_id,
            name,
            fields.pop(name),
            nonce=random_octets(sealing.COMMITMENT_NONCE_SIZE),
            gcm_nonce=random_octets(sealing.GCM_NONCE_SIZE),
        )
        commitments[name], ciphertexts[name] = sealed.commitment, sealed.ciphertext
    return Draft(
        event_id=event.event_id,
        type=event.type,
        stream=event.stream,
        call=event.call,
        time=parse_time(event.time),
        fields=fields,
        commitments=commitments,
        ciphertexts=ciphertexts,
        traceparent=event.traceparent,
    )


def open_draft(event: Event) -> Draft:
    """The draft of an event without personal fields, which needs no secret."""
    return draft(event, {}, _no_randomness)


def _no_randomness(size: int) -> bytes:
    raise AssertionError(f"a fact without sealed fields needs no {size} random octets")


def assemble(
    head: Head, next_seqs: Mapping[str, int], drafts: Sequence[Draft], now: datetime
) -> list[StoredEntry]:
    """Give each draft its place after `head` and its bytes.

    `next_seqs` holds the next seq of every stream concerned. `recorded_at` is `now`, or the
    head's where the clock went back: it never falls along the log.
    """
    recorded_at = now if head.recorded_at is None else max(now, head.recorded_at)
    seqs = dict(next_seqs)
    entries = []
    for index, one in enumerate(drafts, start=head.index + 1):
        entries.append(_entry(one, index, seqs[one.stream], recorded_at))
        seqs[one.stream] += 1
    return entries


def _entry(one: Draft, index: int, seq: int, recorded_at: datetime) -> StoredEntry:
    canonical = encode_entry(
        CanonicalEntry(
            index=index,
            event_id=one.event_id,
            type=one.type,
            stream=one.stream,
            seq=seq,
            call=one.call,
            time=one.time,
            recorded_at=recorded_at,
            fields=one.fields,
            sealed=one.commitments,
        )
    )
    return StoredEntry(
        index=index,
        event_id=one.event_id,
        stream=one.stream,
        seq=seq,
        call=one.call,
        type=one.type,
        canonical=canonical,
        sealed=dict(one.ciphertexts),
        leaf=merkle.leaf_hash(canonical),
        traceparent=one.traceparent,
    )
