"""The permit: the ledger's signed word that a recording may start, and from where on each leg.

Payload = RFC 8785 JSON; signature = Ed25519 (RFC 8032) over the payload's bytes. The recorder
checks both offline. `sign` is deterministic, so a retried request gives identical bytes.

Left to the recorder: that a permit opens the gate once, and that each kept frame is at or after its
leg's position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from onrecord.ledger.canonical import canonical_json, load_canonical
from onrecord.ledger.errors import CanonicalError, PermitError
from onrecord.ledger.instant import format_time, parse_time
from onrecord.ledger.keys import key_id

CALLER, AGENT = "caller", "agent"
SERVICE_CALLER, SERVICE_AGENT = "service-caller", "service-agent"

STREAMS = tuple(f"stream-{number}" for number in range(8))
"""The streams of a recording session (RFC 7866), in the order in which they came."""

LEGS = frozenset({CALLER, AGENT, SERVICE_CALLER, SERVICE_AGENT, *STREAMS})
"""Every leg that a permit can name: what a person sent, what was played to them, a stream."""

PARTIES = frozenset({CALLER, AGENT})
"""Every party that a permit can name."""

ANY_AUDIENCE = "*"
"""The audience of a permit that any recorder may use."""

MAX_PAYLOAD = 65_535
"""The largest payload that is parsed, in octets."""

_FIELDS = frozenset(
    {
        "permit_id",
        "call",
        "legs",
        "parties",
        "pack",
        "entries",
        "audience",
        "issued_at",
        "not_after",
        "key_id",
    }
)


@dataclass(frozen=True, slots=True)
class Position:
    """One packet of a received RTP stream.

    `sequence` is the extended sequence number of RFC 3550 A.1 (cycles << 16 | seq, so up to 48
    bits), `timestamp` the 32-bit RTP timestamp, `ssrc` 32 bits.
    """

    ssrc: int
    sequence: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Permit:
    """Which call may be kept, which legs of it, from which packet on, and on whose evidence.

    `legs[x]` is the first position that may be kept; None means that nothing had been received when
    the notice ended, so anything later may be. A leg that is not named may not be kept. `entries`
    are the event ids relied on, `pack` the rule pack as `<id>/<version>`, `audience` a media node
    or `*`. `not_after` limits the first use only.
    """

    permit_id: str
    call: str
    legs: Mapping[str, Position | None]
    parties: tuple[str, ...]
    pack: str
    entries: tuple[str, ...]
    audience: str
    issued_at: datetime
    not_after: datetime
    key_id: str


@dataclass(frozen=True, slots=True)
class SignedPermit:
    """A permit's bytes with their Ed25519 signature (64 octets), as they travel and are stored."""

    payload: bytes
    signature: bytes


def encode(permit: Permit) -> bytes:
    """Give the bytes that are signed; what `decode` would refuse raises `PermitError`."""
    try:
        payload = canonical_json(_document(permit))
    except CanonicalError as error:
        raise _malformed(error.detail) from error
    decode(payload)
    return payload


def decode(payload: bytes) -> Permit:
    """Read a payload without checking any signature; use `verify` for bytes from elsewhere.

    Strict: unknown, missing or repeated members, numbers out of range and bytes that are not the
    canonical spelling all raise `PermitError` (`malformed`), whose text names the member.
    """
    if len(payload) > MAX_PAYLOAD:
        raise _malformed(f"{len(payload)} octets, more than {MAX_PAYLOAD}")
    document = _load(payload)
    if document.keys() != _FIELDS:
        odd = sorted(document.keys() ^ _FIELDS)
        raise _malformed(f"members missing or unknown: {', '.join(odd)}")
    permit = Permit(
        permit_id=_text(document, "permit_id"),
        call=_text(document, "call"),
        legs=_legs(document["legs"]),
        parties=_names(document, "parties", PARTIES),
        pack=_text(document, "pack"),
        entries=_names(document, "entries", None),
        audience=_text(document, "audience"),
        issued_at=_time(document, "issued_at"),
        not_after=_time(document, "not_after"),
        key_id=_text(document, "key_id"),
    )
    if permit.not_after < permit.issued_at:
        raise _malformed("not_after is before issued_at")
    return permit


def sign(permit: Permit, private_key: Ed25519PrivateKey) -> SignedPermit:
    """Encode and sign; `key_id` must name `private_key`, else `PermitError` (`unknown_key`)."""
    if permit.key_id != key_id(private_key.public_key()):
        raise PermitError(
            "unknown_key", f"the permit names key {permit.key_id}, the signing key is another"
        )
    payload = encode(permit)
    return SignedPermit(payload, private_key.sign(payload))


def verify(signed: SignedPermit, public_key: Ed25519PublicKey) -> Permit:
    """Check the signature, then read the payload.

    Nothing is parsed before the signature holds. Raises `PermitError`: `bad_signature`,
    `unknown_key`, `malformed`. Does not check the call, the audience or the time: `check_first_use`
    does.
    """
    try:
        public_key.verify(signed.signature, signed.payload)
    except InvalidSignature as error:
        raise PermitError(
            "bad_signature", "the permit is not signed by the configured ledger key"
        ) from error
    permit = decode(signed.payload)
    if permit.key_id != key_id(public_key):
        raise PermitError(
            "unknown_key", f"signed by {key_id(public_key)} but names key {permit.key_id}"
        )
    return permit


def check_first_use(
    permit: Permit, *, call: str, node: str, now: datetime, clock_skew: float = 2.0
) -> None:
    """Raise `PermitError` unless `node` may open the gate of `call` with it at `now` (UTC).

    `clock_skew` seconds are granted between the ledger's clock and `now`, both ways. Meant for the
    first use only: a permit that has opened the gate stays good until something ends it.
    """
    if permit.call != call:
        raise PermitError("other_call", f"the permit is for call {permit.call}, not {call}")
    if permit.audience not in (ANY_AUDIENCE, node):
        raise PermitError("other_audience", f"the permit is for {permit.audience}, this is {node}")
    if (permit.issued_at - now).total_seconds() > clock_skew:
        raise PermitError(
            "not_yet_valid", f"issued at {format_time(permit.issued_at)}, it is {format_time(now)}"
        )
    if (now - permit.not_after).total_seconds() > clock_skew:
        raise PermitError(
            "expired", f"to be used by {format_time(permit.not_after)}, it is {format_time(now)}"
        )


def _document(permit: Permit) -> dict[str, Any]:
    return {
        "permit_id": permit.permit_id,
        "call": permit.call,
        "legs": {leg: _position_document(position) for leg, position in permit.legs.items()},
        "parties": list(permit.parties),
        "pack": permit.pack,
        "entries": list(permit.entries),
        "audience": permit.audience,
        "issued_at": format_time(permit.issued_at),
        "not_after": format_time(permit.not_after),
        "key_id": permit.key_id,
    }


def _position_document(position: Position | None) -> dict[str, int] | None:
    if position is None:
        return None
    return {"ssrc": position.ssrc, "sequence": position.sequence, "timestamp": position.timestamp}


def _malformed(detail: str) -> PermitError:
    return PermitError("malformed", detail)


def _load(payload: bytes) -> dict[str, Any]:
    try:
        document = load_canonical(payload)
    except CanonicalError as error:
        raise _malformed(error.detail) from error
    if not isinstance(document, dict):
        raise _malformed("not a JSON object")
    return document


def _text(document: dict[str, Any], member: str) -> str:
    value = document[member]
    if not isinstance(value, str) or not value:
        raise _malformed(f"{member} must be text and not empty")
    return value


def _time(document: dict[str, Any], member: str) -> datetime:
    try:
        return parse_time(_text(document, member))
    except CanonicalError as error:
        raise _malformed(f"{member}: {error.detail}") from error


def _names(
    document: dict[str, Any], member: str, allowed: frozenset[str] | None
) -> tuple[str, ...]:
    value = document[member]
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(name, str) and name for name in value)
    ):
        raise _malformed(f"{member} must be a list of texts and not empty")
    if len(set(value)) != len(value):
        raise _malformed(f"{member} names something twice")
    if allowed is not None and not allowed.issuperset(value):
        raise _malformed(f"{member} may name {', '.join(sorted(allowed))}")
    return tuple(value)


def _legs(value: Any) -> dict[str, Position | None]:
    if not isinstance(value, dict) or not value or not LEGS.issuperset(value):
        raise _malformed(f"legs must be an object of {', '.join(sorted(LEGS))} and not empty")
    return {leg: _position(leg, position) for leg, position in value.items()}


def _position(leg: str, value: Any) -> Position | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"ssrc", "sequence", "timestamp"}:
        raise _malformed(f"legs.{leg} must be null or {{ssrc, sequence, timestamp}}")
    return Position(
        ssrc=_unsigned(leg, value, "ssrc", 32),
        sequence=_unsigned(leg, value, "sequence", 48),
        timestamp=_unsigned(leg, value, "timestamp", 32),
    )


def _unsigned(leg: str, value: dict[str, Any], member: str, bits: int) -> int:
    number = value[member]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << bits:
        raise _malformed(f"legs.{leg}.{member} must be an integer of {bits} bits")
    return number
