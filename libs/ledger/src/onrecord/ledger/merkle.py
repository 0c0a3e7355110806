"""RFC 9162 §2.1: the Merkle tree over a log, its proofs and their verification, with SHA-256.

Every hash is 32 octets; sizes count leaves, indexes start at 0. Verifiers raise `ProofError` and
return nothing: a result that is not looked at cannot pass for a success. Whatever is no size, hash
or list of hashes gives `ProofError` as well: proofs come from strangers. Left out: signed tree
heads, and any storage (callers bring the leaf hashes).
"""

import hashlib
import hmac
from collections.abc import Sequence

from onrecord.ledger.errors import ProofError

HASH_SIZE = 32
MAX_SIZE = 2**64 - 1
"""The largest tree: sizes are uint64 (§4.10)."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Hash one entry into its leaf: SHA-256(0x00 || data), §2.1.1."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children into their node: SHA-256(0x01 || left || right), §2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Compute the root over these leaf hashes, §2.1.1; raises `ProofError` (`bad_hash`)."""
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Make the path from leaf `index` to the root over `leaves`, lowest first, §2.1.3.1.

    Raises `ProofError`: `bad_size` unless 0 <= index < len(leaves), `bad_hash` (not 32 octets).
    """
    _check_hashes(leaves)
    _check_leaf(index, len(leaves))
    path: list[bytes] = []
    first, last = 0, len(leaves)
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            path.append(root(leaves[middle:last]))
            last = middle
        else:
            path.append(root(leaves[first:middle]))
            first = middle
    return path[::-1]


def consistency_proof(size1: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Prove that the tree of the first `size1` leaves is a prefix of the one over all, §2.1.4.1.

    Empty when the sizes are equal. Raises `ProofError`: `bad_size` unless
    1 <= size1 <= len(leaves), because from the empty tree there is nothing to prove; `bad_hash`
    (not 32 octets).
    """
    _check_hashes(leaves)
    _check_sizes(size1)
    if not 1 <= size1 <= len(leaves):
        raise ProofError("bad_size", f"no proof from size {size1} to size {len(leaves)}")
    path: list[bytes] = []
    first, last = 0, len(leaves)
    complete = True
    while size1 != last:
        middle = first + _split(last - first)
        if size1 <= middle:
            path.append(root(leaves[middle:last]))
            last = middle
        else:
            path.append(root(leaves[first:middle]))
            first, complete = middle, False
    if not complete:
        path.append(root(leaves[first:last]))
    return path[::-1]


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf hash `leaf` is leaf `index` of the tree of `size` leaves, §2.1.3.2.

    Needs 0 <= index < size; `leaf`, `root` and each element of `proof` (lowest first) have 32
    octets. Raises `ProofError`: `bad_size`, `bad_hash` (not 32 octets), `bad_length` (too many
    or too few hashes), `root_mismatch`.
    """
    _check_leaf(index, size)
    _check_hashes(proof)
    _check_hashes([leaf, root])
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("bad_length", f"{len(proof)} hashes are too many")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("bad_length", f"{len(proof)} hashes are too few")
    _check_root(result, root, size)


def verify_consistency(
    size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes
) -> None:
    """Check that the tree of `size1` leaves is a prefix of the tree of `size2`, §2.1.4.2.

    Equal sizes need an empty proof and equal roots, whatever these are. A proof from size 0 to
    another size is always refused, an empty one too: it would accept any `root2`. Raises
    `ProofError`: `bad_size`, `bad_hash` (not 32 octets), `bad_length`, `root_mismatch`.
    """
    _check_sizes(size1, size2)
    if size2 < size1:
        raise ProofError("bad_size", f"size {size1} does not come before {size2}")
    _check_hashes(proof)
    if size1 == size2:
        if proof:
            raise ProofError("bad_length", "equal sizes have an empty proof")
        return _check_root(root1, root2, size2)
    if size1 == 0:
        raise ProofError("bad_size", "nothing can be proved from the empty tree")
    if not proof:
        raise ProofError("bad_length", "the proof is empty")
    _check_hashes([root1, root2])
    # §2.1.4.2 step 2: a complete first tree is its own starting point and is not in the proof.
    path = [root1, *proof] if size1 & (size1 - 1) == 0 else list(proof)
    old, new = _fold_consistency(size1, size2, path)
    _check_root(old, root1, size1)
    return _check_root(new, root2, size2)


def _fold_consistency(size1: int, size2: int, path: list[bytes]) -> tuple[bytes, bytes]:
    """Compute both roots from the path, §2.1.4.2 steps 3 to 6."""
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError("bad_length", "the proof has too many hashes")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofError("bad_length", "the proof has too few hashes")
    return old, new


class Frontier:
    """The right edge of a growing tree: enough to append and to give the root, O(log n) hashes.

    `hashes` are the roots of the complete subtrees, largest first; with `size` they can be stored
    and given back.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Take up a stored edge; raises `ProofError` (`bad_size`, `bad_hash`, `bad_length`)."""
        _check_sizes(size)
        _check_hashes(hashes)
        if len(hashes) != size.bit_count():
            raise ProofError("bad_length", f"{len(hashes)} hashes for {size} leaves")
        self.size = size
        self.hashes = list(hashes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash at the right; raises `ProofError` (`bad_hash`)."""
        _check_hashes([leaf])
        node, level = leaf, self.size
        while level & 1:
            node = node_hash(self.hashes.pop(), node)
            level >>= 1
        self.hashes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Compute the root of all leaves so far."""
        if not self.hashes:
            return EMPTY_ROOT
        result = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            result = node_hash(left, result)
        return result


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << ((size - 1).bit_length() - 1)


# The types are checked for those whom no type checker told: what is parsed from elsewhere.


def _check_sizes(*sizes: int) -> None:
    for size in sizes:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_SIZE:
            raise ProofError("bad_size", f"a size is an integer from 0 to {MAX_SIZE}")


def _check_leaf(index: int, size: int) -> None:
    _check_sizes(index, size)
    if index >= size:
        raise ProofError("bad_size", f"no leaf {index} in a tree of {size}")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if not isinstance(hashes, Sequence) or isinstance(hashes, str | bytes):
        raise ProofError("bad_hash", f"hashes come as a list, not as {type(hashes).__name__}")
    for value in hashes:
        if not isinstance(value, bytes):
            raise ProofError("bad_hash", f"a hash is bytes, not {type(value).__name__}")
        if len(value) != HASH_SIZE:
            raise ProofError("bad_hash", f"a hash has {HASH_SIZE} octets, not {len(value)}")


def _check_root(computed: bytes, expected: bytes, size: int) -> None:
    if not isinstance(expected, bytes) or not isinstance(computed, bytes):
        raise ProofError("bad_hash", "a root is bytes")
    if not hmac.compare_digest(computed, expected):
        raise ProofError("root_mismatch", f"the proof does not lead to the root of size {size}")
