"""Ed25519 keys (RFC 8032) as the ledger names and stores them: PEM files and a short key id."""

import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from onrecord.ledger.errors import SigningKeyError


def key_id(public_key: Ed25519PublicKey) -> str:
    """Name a key: the first 8 hex digits of SHA-256 of its 32 raw bytes.

    A label to find the key by. It proves nothing: the signature does.
    """
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:8]


def load_private_key(pem: bytes) -> Ed25519PrivateKey:
    """Read an unencrypted PKCS #8 PEM file; all but an Ed25519 key raises `SigningKeyError`."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise SigningKeyError(
            "bad_key", "not an unencrypted PEM private key (openssl genpkey -algorithm ed25519)"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError(
            "bad_key", f"an Ed25519 private key is needed, this is {type(key).__name__}"
        )
    return key


def load_public_key(pem: bytes) -> Ed25519PublicKey:
    """Read a public PEM file; all but an Ed25519 key raises `SigningKeyError`."""
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise SigningKeyError(
            "bad_key", "not a PEM public key (openssl pkey -in private.pem -pubout)"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise SigningKeyError(
            "bad_key", f"an Ed25519 public key is needed, this is {type(key).__name__}"
        )
    return key
