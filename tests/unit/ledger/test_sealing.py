"""Sealed fields: open only with their key, for their event, under their name."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.ledger.errors import CanonicalError, SealError
from onrecord.ledger.sealing import SealedValue, commit, derive_keys, open_sealed, seal

SECRET = bytes(range(32))
KEYS = derive_keys(SECRET)
NONCE, GCM_NONCE = bytes(16), bytes(12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, st.binary(min_size=16, max_size=16), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens_again(value: object, nonce: bytes, gcm_nonce: bytes) -> None:
    """Any JSON value comes back as it was."""
    sealed = seal(KEYS, "c1:call.started", "caller_number", value, nonce=nonce, gcm_nonce=gcm_nonce)
    assert open_sealed(KEYS, "c1:call.started", "caller_number", sealed) == value


def test_it_opens_for_no_other_key_event_or_name() -> None:
    """Key, event id and field name are all bound to the ciphertext."""
    sealed = seal(
        KEYS, "c1:call.started", "caller_number", "+442079460123", nonce=NONCE, gcm_nonce=GCM_NONCE
    )
    for keys, event_id, name in (
        (derive_keys(bytes(32)), "c1:call.started", "caller_number"),
        (KEYS, "c2:call.started", "caller_number"),
        (KEYS, "c1:call.started", "callee_number"),
    ):
        with pytest.raises(SealError, match="bad_seal"):
            open_sealed(keys, event_id, name, sealed)


@given(st.binary(max_size=60))
def test_garbage_does_not_open(ciphertext: bytes) -> None:
    """Any octets in the ciphertext's place give a clear error."""
    with pytest.raises(SealError, match="bad_seal"):
        open_sealed(KEYS, "e", "n", SealedValue(bytes(32), ciphertext))


def test_another_commitment_is_noticed() -> None:
    """A value that opens but was not committed to is refused."""
    sealed = seal(KEYS, "e", "n", "value", nonce=NONCE, gcm_nonce=GCM_NONCE)
    with pytest.raises(SealError, match="bad_commitment"):
        open_sealed(KEYS, "e", "n", dataclasses.replace(sealed, commitment=bytes(32)))


def test_equal_values_cannot_be_told_from_their_commitments() -> None:
    """Another nonce or another secret makes another commitment of the same value."""
    assert commit(KEYS, NONCE, "n", "v") != commit(KEYS, bytes(15) + b"\1", "n", "v")
    assert commit(KEYS, NONCE, "n", "v") != commit(derive_keys(bytes(32)), NONCE, "n", "v")


def test_sizes_and_values_are_checked() -> None:
    """Secrets, nonces and values of the wrong form are refused by name."""
    with pytest.raises(SealError, match="32 octets"):
        derive_keys(b"short")
    with pytest.raises(SealError, match="16 octets"):
        commit(KEYS, b"", "n", "v")
    with pytest.raises(SealError, match="12 octets"):
        seal(KEYS, "e", "n", "v", nonce=NONCE, gcm_nonce=b"")
    with pytest.raises(CanonicalError):
        seal(KEYS, "e", "n", float("nan"), nonce=NONCE, gcm_nonce=GCM_NONCE)
