"""Frozen bytes: what was written once must have the same bytes, hashes and signatures for ever."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from onrecord.ledger import merkle, permit, sealing
from onrecord.ledger.canonical import CanonicalEntry, decode_entry, encode_entry
from onrecord.ledger.instant import parse_time
from onrecord.ledger.keys import key_id

DATA = Path(__file__).parents[2] / "data" / "ledger"


def vectors(name: str) -> Any:
    """Read one frozen file."""
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", vectors("canonical.json")["entries"])
def test_canonical_bytes_and_leaves_never_change(case: dict[str, Any]) -> None:
    """An entry's canonical bytes and leaf hash are the frozen ones, and read back as the entry."""
    source = case["entry"]
    entry = CanonicalEntry(
        **{
            **source,
            "time": parse_time(source["time"]),
            "recorded_at": parse_time(source["recorded_at"]),
            "sealed": {name: bytes.fromhex(text) for name, text in source["sealed"].items()},
        }
    )
    assert encode_entry(entry).hex() == case["canonical"]
    assert merkle.leaf_hash(encode_entry(entry)).hex() == case["leaf"]
    assert decode_entry(bytes.fromhex(case["canonical"])) == entry


def test_keys_commitments_and_ciphertexts_never_change() -> None:
    """The same secret, nonces and values give the frozen keys, commitments and ciphertexts."""
    frozen = vectors("sealing.json")
    keys = sealing.derive_keys(bytes.fromhex(frozen["secret"]))
    assert (keys.commit.hex(), keys.seal.hex()) == (frozen["commit_key"], frozen["seal_key"])
    for case in frozen["fields"]:
        sealed = sealing.seal(
            keys,
            case["event_id"],
            case["name"],
            case["value"],
            nonce=bytes.fromhex(case["nonce"]),
            gcm_nonce=bytes.fromhex(case["gcm_nonce"]),
        )
        assert sealed.commitment.hex() == case["commitment"]
        assert sealed.ciphertext.hex() == case["ciphertext"]
        assert sealing.open_sealed(keys, case["event_id"], case["name"], sealed) == case["value"]


def test_permits_never_change() -> None:
    """The frozen permit verifies, and signing it again gives the frozen bytes."""
    frozen = vectors("permit.json")
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(frozen["private_key"]))
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(frozen["public_key"]))
    signed = permit.SignedPermit(
        bytes.fromhex(frozen["payload"]), bytes.fromhex(frozen["signature"])
    )
    read = permit.verify(signed, public)
    assert permit.sign(read, private) == signed
    assert frozen["payload_text"].encode() == signed.payload
    assert key_id(public) == frozen["key_id"] == read.key_id
