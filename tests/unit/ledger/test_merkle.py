"""The tree: known vectors, an independent oracle, and every corruption of a proof refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.ledger import merkle
from onrecord.ledger.errors import ProofError

VECTORS = json.loads(
    (Path(__file__).parents[2] / "data" / "ledger" / "merkle.json").read_text(encoding="utf-8")
)
LEAVES = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [merkle.EMPTY_ROOT, *map(bytes.fromhex, VECTORS["roots"])]
SOME = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")

Probe = tuple[str, Callable[[], None]]


def refused(check: Callable[[], None]) -> bool:
    """Whether the verifier raised ProofError."""
    try:
        check()
    except ProofError:
        return True
    return False


def damaged_paths(proof: list[bytes], *extra: bytes) -> list[list[bytes]]:
    """Every small damage to a path: longer at either end, shorter, one bit flipped."""
    paths = [[*proof, b""], [b"", *proof]]
    for hash_ in (*extra, *proof[:1]):
        paths += [[*proof, hash_], [hash_, *proof]]
    if proof:
        paths += [proof[:-1], proof[1:], []]
    for place, hash_ in enumerate(proof):
        flipped = bytes([hash_[0] ^ 8]) + hash_[1:]
        paths.append([*proof[:place], flipped, *proof[place + 1 :]])
    return paths


def test_the_roots_are_the_published_ones() -> None:
    """Every prefix of the reference leaves has its published root."""
    assert [merkle.root(LEAVES[:size]) for size in range(9)] == ROOTS


@pytest.mark.parametrize("case", VECTORS["inclusion"], ids=lambda c: f"{c['index']}-{c['size']}")
def test_published_inclusion_proofs_hold_and_no_damaged_one(case: dict[str, object]) -> None:
    """A published proof is made and accepted; each change to any argument is refused."""
    index, size = case["index"], case["size"]
    proof = [bytes.fromhex(text) for text in case["proof"]]
    leaf, root = LEAVES[index], ROOTS[size]
    assert merkle.inclusion_proof(index, LEAVES[:size]) == proof
    merkle.verify_inclusion(index, size, leaf, proof, root)
    for other in (index - 1, index + 1, index ^ 2):
        assert refused(lambda i=other: merkle.verify_inclusion(i, size, leaf, proof, root))
    for other in (size * 2, size // 2, 0):
        assert refused(lambda n=other: merkle.verify_inclusion(index, n, leaf, proof, root))
    for other in (b"", b"WrongLeaf", SOME):
        assert refused(lambda h=other: merkle.verify_inclusion(index, size, h, proof, root))
        assert refused(lambda h=other: merkle.verify_inclusion(index, size, leaf, proof, h))
    for path in damaged_paths(proof, root):
        assert refused(lambda p=path: merkle.verify_inclusion(index, size, leaf, p, root))


@pytest.mark.parametrize("case", VECTORS["consistency"], ids=lambda c: f"{c['size1']}-{c['size2']}")
def test_published_consistency_proofs_hold_and_no_damaged_one(case: dict[str, object]) -> None:
    """A published proof is made and accepted; each change to any argument is refused."""
    size1, size2 = case["size1"], case["size2"]
    proof = [bytes.fromhex(text) for text in case["proof"]]
    root1, root2 = ROOTS[size1], ROOTS[size2]
    assert merkle.consistency_proof(size1, LEAVES[:size2]) == proof
    merkle.verify_consistency(size1, size2, proof, root1, root2)
    if not proof:
        return
    for other in (size1 - 1, size1 + 1, size1 ^ 2):
        assert refused(lambda n=other: merkle.verify_consistency(n, size2, proof, root1, root2))
    for other in (size2 * 2, size2 // 2):
        assert refused(lambda n=other: merkle.verify_consistency(size1, n, proof, root1, root2))
    for other in (b"WrongRoot", SOME):
        assert refused(lambda h=other: merkle.verify_consistency(size1, size2, proof, h, root2))
        assert refused(lambda h=other: merkle.verify_consistency(size1, size2, proof, root1, h))
    assert refused(lambda: merkle.verify_consistency(size1, size2, proof, root2, root1))
    for path in damaged_paths(proof, root1, root2):
        assert refused(lambda p=path: merkle.verify_consistency(size1, size2, p, root1, root2))


@pytest.mark.parametrize(
    ("sizes", "roots", "proof", "reason"),
    [
        ((0, 1), (b"1", b"2"), [], "bad_size"),
        ((0, 8), (merkle.EMPTY_ROOT, ROOTS[8]), [], "bad_size"),
        ((0, 1), (merkle.EMPTY_ROOT, merkle.EMPTY_ROOT), [merkle.EMPTY_ROOT], "bad_size"),
        ((0, 0), (b"1", b"2"), [], "root_mismatch"),
        ((1, 1), (b"1", b"2"), [], "root_mismatch"),
        ((0, 0), (merkle.EMPTY_ROOT, merkle.EMPTY_ROOT), [merkle.EMPTY_ROOT], "bad_length"),
        ((1, 1), (SOME, SOME), [SOME], "bad_length"),
        ((1, 0), (b"1", b"2"), [], "bad_size"),
        ((2, 1), (b"1", b"2"), [], "bad_size"),
        ((-1, 1), (b"1", b"2"), [], "bad_size"),
        ((1, 2), (ROOTS[1], ROOTS[2]), [], "bad_length"),
    ],
)
def test_degenerate_consistency_is_refused(
    sizes: tuple[int, int], roots: tuple[bytes, bytes], proof: list[bytes], reason: str
) -> None:
    """From the empty tree nothing is provable, time does not run back, no proof is no proof."""
    with pytest.raises(ProofError) as caught:
        merkle.verify_consistency(*sizes, proof, *roots)
    assert caught.value.reason == reason


@pytest.mark.parametrize("root", [merkle.EMPTY_ROOT, b"as stored"])
@pytest.mark.parametrize("size", [0, 1])
def test_a_tree_is_consistent_with_itself(size: int, root: bytes) -> None:
    """Equal sizes and equal roots need no proof."""
    merkle.verify_consistency(size, size, [], root, root)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 0), (2, 1), (1, 1), (-1, 1)])
def test_a_leaf_beyond_the_tree_is_refused(index: int, size: int) -> None:
    """An index outside 0..size-1 is refused when proving and when verifying."""
    with pytest.raises(ProofError, match="bad_size"):
        merkle.verify_inclusion(index, size, SOME, [], SOME)
    with pytest.raises(ProofError, match="bad_size"):
        merkle.inclusion_proof(index, [SOME] * size)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40), st.data())
def test_made_proofs_verify_for_any_tree(entries: list[bytes], data: st.DataObject) -> None:
    """Whatever is proved of a tree of any size verifies, and for no other leaf or prefix."""
    leaves = [merkle.leaf_hash(entry + bytes([place])) for place, entry in enumerate(entries)]
    size = len(leaves)
    index = data.draw(st.integers(0, size - 1))
    root = merkle.root(leaves)
    path = merkle.inclusion_proof(index, leaves)
    merkle.verify_inclusion(index, size, leaves[index], path, root)
    for other in range(size):
        if other != index:
            assert refused(
                lambda i=other: merkle.verify_inclusion(i, size, leaves[index], path, root)
            )
    prefix = index + 1
    proof = merkle.consistency_proof(prefix, leaves)
    root1 = merkle.root(leaves[:prefix])
    merkle.verify_consistency(prefix, size, proof, root1, root)
    if prefix < size:
        assert refused(lambda: merkle.verify_consistency(prefix, size, proof, SOME, root))


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_an_independent_implementation_agrees_on_the_root(entries: list[bytes]) -> None:
    """Pymerkle computes the same root for the same entries."""
    oracle = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in entries:
        oracle.append_entry(entry)
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    if entries:
        assert merkle.root(leaves) == oracle.get_root()


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_stored_frontier_goes_on_where_it_stopped(first: int, more: int) -> None:
    """An edge given back with its size yields the root of the whole tree, with few hashes."""
    leaves = [merkle.leaf_hash(n.to_bytes(2, "big")) for n in range(first + more)]
    tree = merkle.Frontier()
    for leaf in leaves[:first]:
        tree.append(leaf)
    again = merkle.Frontier(tree.size, tree.hashes)
    for leaf in leaves[first:]:
        again.append(leaf)
    assert again.root() == merkle.root(leaves)
    assert len(again.hashes) <= max(1, (first + more).bit_length())


@pytest.mark.parametrize(
    ("size", "hashes"), [(1, []), (0, [SOME]), (3, [SOME]), (1, [b"x"]), (-1, [])]
)
def test_a_frontier_that_does_not_fit_its_size_is_refused(size: int, hashes: list[bytes]) -> None:
    """A stored edge needs one hash of 32 octets per complete subtree."""
    with pytest.raises(ProofError):
        merkle.Frontier(size, hashes)


@given(
    st.integers(-2, 40),
    st.integers(-2, 40),
    st.lists(st.binary(max_size=40) | st.just(SOME), max_size=8),
    st.binary(max_size=40),
)
def test_any_arguments_give_a_proof_error(
    one: int, two: int, proof: list[bytes], root: bytes
) -> None:
    """Garbage in any argument is refused by ProofError and by nothing else."""
    assert refused(lambda: merkle.verify_inclusion(one, two, SOME, proof, root))
    assert refused(lambda: merkle.verify_consistency(one, two, proof, root, SOME))
