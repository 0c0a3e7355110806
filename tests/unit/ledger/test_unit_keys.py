"""Unit keys in blocks: each reference has its own key, and a destroyed one is gone."""

import os

import pytest
from onrecord.ledger.unit_keys import BLOCK_SIZE, KEY_SIZE, KEYS_IN_BLOCK, block_id, key_ref, take


def test_every_reference_has_a_key_of_its_own() -> None:
    """Over several blocks no two references give the same key."""
    refs = [key_ref("c1:p0", number) for number in range(3 * KEYS_IN_BLOCK)]
    blocks = {block_id(ref): os.urandom(BLOCK_SIZE) for ref in refs[::KEYS_IN_BLOCK]}
    keys = take(refs, blocks)
    assert list(keys) == refs
    assert len(set(keys.values())) == len(refs)
    assert {len(key) for key in keys.values()} == {KEY_SIZE}


def test_a_destroyed_key_is_gone_and_its_neighbours_stay() -> None:
    """Zeros in the place of a key mean that it was destroyed."""
    refs = [key_ref("c1:p0", number) for number in range(3)]
    block = os.urandom(KEY_SIZE) + bytes(KEY_SIZE) + os.urandom(BLOCK_SIZE - 2 * KEY_SIZE)
    assert list(take(refs, {block_id(refs[0]): block})) == [refs[0], refs[2]]


def test_a_key_without_its_block_is_left_out() -> None:
    """What the store does not have is not made up."""
    assert take(["c1:p0/5"], {}) == {}


@pytest.mark.parametrize("ref", ["", "c1:p0", "c1:p0/", "/1", "c1:p0/x", "c1:p0/-1", "c1:p0/²"])
def test_another_form_is_refused(ref: str) -> None:
    """A reference that is none is an error that names it."""
    with pytest.raises(ValueError, match="not the reference"):
        block_id(ref)
