"""The tree against RFC 9162 written down word for word: recursive, slow, sharing no code."""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onrecord.ledger import merkle
from onrecord.ledger.errors import ProofError

LARGEST = 300
ENTRIES = [b"entry %d" % number for number in range(LARGEST)]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
NO_SIZES = [-1, 2**64, 10**5000, True, None, 1.0, "1", b"1"]
NO_HASHES = [None, 0, "0" * 32, "", [0] * 32, b"", bytes(31), bytes(33), bytearray(32)]
NO_PROOFS = [None, 0, b"", "", {}, {bytes(32)}, object(), iter([bytes(32)])]
REASONS = {"bad_size", "bad_hash", "bad_length", "root_mismatch"}


def largest_power_below(n: int) -> int:
    """K, "the largest power of two smaller than n"."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


@functools.cache
def mth(first: int, last: int) -> bytes:
    """MTH(D[first:last]), §2.1.1."""
    n = last - first
    if n == 0:
        return hashlib.sha256().digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + ENTRIES[first]).digest()
    k = largest_power_below(n)
    return hashlib.sha256(b"\x01" + mth(first, first + k) + mth(first + k, last)).digest()


def path(m: int, first: int, last: int) -> list[bytes]:
    """PATH(m, D[first:last]), §2.1.3.1."""
    n = last - first
    if n == 1:
        return []
    k = largest_power_below(n)
    if m < k:
        return [*path(m, first, first + k), mth(first + k, last)]
    return [*path(m - k, first + k, last), mth(first, first + k)]


def subproof(m: int, first: int, last: int, *, b: bool) -> list[bytes]:
    """SUBPROOF(m, D[first:last], b), §2.1.4.1."""
    n = last - first
    if m == n:
        return [] if b else [mth(first, last)]
    k = largest_power_below(n)
    if m <= k:
        return [*subproof(m, first, first + k, b=b), mth(first + k, last)]
    return [*subproof(m - k, first + k, last, b=False), mth(first, first + k)]


def around_powers_of_two() -> list[int]:
    """Sizes 2^n - 1, 2^n and 2^n + 1."""
    found = {2**n + near for n in range(9) for near in (-1, 0, 1)}
    return sorted(size for size in found if 1 <= size <= LARGEST)


@settings(max_examples=5, deadline=None)
@given(st.integers(1, LARGEST))
@example(LARGEST)
def test_every_leaf_of_a_tree_is_proved_as_the_rfc_says(size: int) -> None:
    """Root, path and consistency are those of the definition at every index, and verify."""
    root = merkle.root(LEAVES[:size])
    assert root == mth(0, size)
    for index in range(size):
        included = merkle.inclusion_proof(index, LEAVES[:size])
        assert included == path(index, 0, size)
        merkle.verify_inclusion(index, size, LEAVES[index], included, root)
        prefix = index + 1
        consistent = merkle.consistency_proof(prefix, LEAVES[:size])
        assert consistent == subproof(prefix, 0, size, b=True)
        merkle.verify_consistency(prefix, size, consistent, mth(0, prefix), root)


@pytest.mark.parametrize("size", around_powers_of_two())
def test_at_a_power_of_two_a_proof_fits_one_place_only(size: int) -> None:
    """The path of one leaf proves no other index, no size of another shape, no other leaf."""
    root = mth(0, size)
    for index in {0, size // 2, size - 1}:
        proof = path(index, 0, size)
        for other in range(size):
            if other != index:
                refused(merkle.verify_inclusion, other, size, LEAVES[index], proof, root)
                refused(merkle.verify_inclusion, index, size, LEAVES[other], proof, root)
        for wrong in (0, index, 2 * size, 4 * size + 1):
            refused(merkle.verify_inclusion, index, wrong, LEAVES[index], proof, root)


def test_a_proof_of_the_largest_tree_ends() -> None:
    """A size of 64 bits needs 64 hashes, and a list of a million is refused without reading on."""
    most = merkle.MAX_SIZE
    assert refused(merkle.verify_inclusion, most - 1, most, bytes(32), [], bytes(32)) == (
        "bad_length"
    )
    many = [bytes(32)] * 100_000
    assert refused(merkle.verify_inclusion, 0, most, bytes(32), many, bytes(32)) == "bad_length"
    assert refused(merkle.verify_consistency, 1, most, many, bytes(32), bytes(32)) == "bad_length"


@pytest.mark.parametrize("odd", NO_SIZES, ids=lambda odd: str(odd)[:8] if odd != 10**5000 else "")
def test_what_is_no_size_is_a_bad_size(odd: Any) -> None:
    """Negative, beyond 64 bits, or of another type: refused by its reason everywhere."""
    assert refused(merkle.verify_inclusion, 0, odd, bytes(32), [], bytes(32)) == "bad_size"
    assert refused(merkle.verify_inclusion, odd, 8, bytes(32), [], bytes(32)) == "bad_size"
    assert refused(merkle.verify_consistency, odd, 8, [], bytes(32), bytes(32)) == "bad_size"
    assert refused(merkle.verify_consistency, 1, odd, [], bytes(32), bytes(32)) == "bad_size"
    assert refused(merkle.inclusion_proof, odd, LEAVES[:4]) == "bad_size"
    assert refused(merkle.consistency_proof, odd, LEAVES[:4]) == "bad_size"
    assert refused(merkle.Frontier, odd, []) == "bad_size"


@pytest.mark.parametrize("odd", NO_HASHES, ids=repr)
def test_what_is_no_hash_is_a_bad_hash(odd: Any) -> None:
    """Of another length or type, in any place: refused by its reason."""
    good, proof = mth(0, 5), path(3, 0, 5)
    assert refused(merkle.verify_inclusion, 3, 5, odd, proof, good) == "bad_hash"
    assert refused(merkle.verify_inclusion, 3, 5, LEAVES[3], proof, odd) == "bad_hash"
    assert refused(merkle.verify_consistency, 3, 5, [bytes(32)], odd, good) == "bad_hash"
    assert refused(merkle.verify_consistency, 3, 5, [bytes(32)], good, odd) == "bad_hash"
    for place in range(3):
        damaged = [*proof[:place], odd, *proof[place + 1 :]]
        assert refused(merkle.verify_inclusion, 3, 5, LEAVES[3], damaged, good) == "bad_hash"
        assert refused(merkle.verify_consistency, 3, 5, damaged, good, good) == "bad_hash"
    assert refused(merkle.root, [LEAVES[0], odd]) == "bad_hash"
    assert refused(merkle.inclusion_proof, 0, [LEAVES[0], odd]) == "bad_hash"
    assert refused(merkle.consistency_proof, 1, [LEAVES[0], odd]) == "bad_hash"


@pytest.mark.parametrize("odd", NO_PROOFS, ids=lambda odd: type(odd).__name__)
def test_what_is_no_list_is_a_bad_hash(odd: Any) -> None:
    """A proof that is no list of hashes is refused, also where none is needed."""
    for sizes in ((1, 1), (1, 5), (3, 5)):
        assert refused(merkle.verify_consistency, *sizes, odd, bytes(32), bytes(32)) == "bad_hash"
    assert refused(merkle.verify_inclusion, 0, 5, bytes(32), odd, bytes(32)) == "bad_hash"
    assert refused(merkle.inclusion_proof, 0, odd) == "bad_hash"
    assert refused(merkle.Frontier, 1, odd) == "bad_hash"


def refused(verify: Any, *arguments: Any) -> str:
    """The reason of the ProofError that the arguments give."""
    with pytest.raises(ProofError) as caught:
        verify(*arguments)
    assert caught.value.reason in REASONS
    return caught.value.reason
