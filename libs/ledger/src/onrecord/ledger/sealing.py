"""Sealed fields: a commitment for the tree, a ciphertext for those who may open it.

Each party of a stream has one secret of 32 random octets. Two keys come from it by HKDF-SHA256
(RFC 5869, no salt): one commits (HMAC-SHA-256, RFC 2104), one encrypts (AES-256-GCM, NIST SP
800-38D). Destroying the secret makes every copy of the value unreadable and every commitment
meaningless, while each proof stays valid.

Nonces come in as arguments. A GCM nonce (12 octets) must never be used twice with one secret.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from onrecord.ledger.canonical import canonical_json, load_canonical
from onrecord.ledger.errors import CanonicalError, SealError

SECRET_SIZE = 32
COMMITMENT_NONCE_SIZE = 16
GCM_NONCE_SIZE = 12


@dataclass(frozen=True, slots=True)
class SealedValue:
    """One field's commitment (32 octets, goes into the leaf) and its ciphertext."""

    commitment: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class FieldKeys:
    """The two keys of one party of one stream."""

    commit: bytes
    seal: bytes


def derive_keys(secret: bytes) -> FieldKeys:
    """Derive both keys of a secret; one that has not 32 octets raises `SealError` (`bad_key`)."""
    if len(secret) != SECRET_SIZE:
        raise SealError("bad_key", f"a party's secret has {SECRET_SIZE} octets, not {len(secret)}")
    return FieldKeys(_subkey(secret, b"onrecord commit v1"), _subkey(secret, b"onrecord seal v1"))


def commit(keys: FieldKeys, nonce: bytes, name: str, value: Any) -> bytes:
    """Commit to a field: HMAC-SHA-256(commit key, nonce || name || RFC 8785 JSON of the value)."""
    if len(nonce) != COMMITMENT_NONCE_SIZE:
        raise SealError("bad_key", f"the nonce has {COMMITMENT_NONCE_SIZE} octets")
    message = nonce + name.encode() + canonical_json(value)
    return hmac.digest(keys.commit, message, hashlib.sha256)


def seal(
    keys: FieldKeys, event_id: str, name: str, value: Any, *, nonce: bytes, gcm_nonce: bytes
) -> SealedValue:
    """Commit to a field's value and encrypt it, bound to its event and its name.

    Ciphertext = GCM nonce (12) || AES-256-GCM(commitment nonce (16) || RFC 8785 JSON), with
    event id || 0x00 || name as associated data. Raises `SealError`, `CanonicalError`.
    """
    if len(gcm_nonce) != GCM_NONCE_SIZE:
        raise SealError("bad_key", f"the GCM nonce has {GCM_NONCE_SIZE} octets")
    commitment = commit(keys, nonce, name, value)
    plaintext = nonce + canonical_json(value)
    sealed = AESGCM(keys.seal).encrypt(gcm_nonce, plaintext, _associated(event_id, name))
    return SealedValue(commitment, gcm_nonce + sealed)


def open_sealed(keys: FieldKeys, event_id: str, name: str, sealed: SealedValue) -> Any:
    """Decrypt a field and check it against the entry's commitment.

    Raises `SealError`: `bad_seal` (other key, event or name, or changed octets), `bad_commitment`
    (it opens, but is not what the tree committed to).
    """
    gcm_nonce, box = sealed.ciphertext[:GCM_NONCE_SIZE], sealed.ciphertext[GCM_NONCE_SIZE:]
    try:
        plaintext = AESGCM(keys.seal).decrypt(gcm_nonce, box, _associated(event_id, name))
    except (InvalidTag, ValueError) as error:
        raise SealError("bad_seal", f"{name} of {event_id} does not open with this key") from error
    nonce, text = plaintext[:COMMITMENT_NONCE_SIZE], plaintext[COMMITMENT_NONCE_SIZE:]
    try:
        value = load_canonical(text)
    except CanonicalError as error:
        raise SealError("bad_seal", f"{name} of {event_id} does not hold JSON") from error
    if not hmac.compare_digest(commit(keys, nonce, name, value), sealed.commitment):
        raise SealError("bad_commitment", f"{name} of {event_id} is not what was committed to")
    return value


def _subkey(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def _associated(event_id: str, name: str) -> bytes:
    return event_id.encode() + b"\x00" + name.encode()
