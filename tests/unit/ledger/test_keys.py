"""Key files: Ed25519 in PEM, anything else refused with a hint."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onrecord.ledger.errors import SigningKeyError
from onrecord.ledger.keys import key_id, load_private_key, load_public_key

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def private_pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """Spell a private key as PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """Spell a public key as PEM."""
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_a_pair_of_files_is_one_key() -> None:
    """Both files of a pair load and have the same id."""
    private, public = load_private_key(private_pem(KEY)), load_public_key(public_pem(KEY))
    assert key_id(private.public_key()) == key_id(public) == key_id(KEY.public_key())


def test_other_keys_and_files_are_refused() -> None:
    """A key of another kind, the other half of the pair and no key at all are refused."""
    other = ec.generate_private_key(ec.SECP256R1())
    for bad in (private_pem(other), public_pem(KEY), b"", b"not a key"):
        with pytest.raises(SigningKeyError, match="bad_key"):
            load_private_key(bad)
    for bad in (public_pem(other), private_pem(KEY), b"", b"not a key"):
        with pytest.raises(SigningKeyError, match="bad_key"):
            load_public_key(bad)
