"""Where the data keys of stored units lie: random keys, many to a document of `secrets`.

A permit comes with an hour of keys. Made one by one they would cost the store more than the rest of
a call together; so they are kept in blocks. A key is destroyed by writing its block without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

KEY_SIZE: Final = 32
KEYS_IN_BLOCK: Final = 120
BLOCK_SIZE: Final = KEY_SIZE * KEYS_IN_BLOCK

_PREFIX: Final = "unit/"
_DESTROYED: Final = bytes(KEY_SIZE)


def key_ref(permit_id: str, number: int) -> str:
    """The name of a permit's n-th key, as `recording.stored` carries it."""
    return f"{permit_id}/{number}"


def block_id(ref: str) -> str:
    """The id in `secrets` of the block that holds this key. Raises ValueError for another form."""
    permit_id, number = _parse(ref)
    return f"{_PREFIX}{permit_id}/{number // KEYS_IN_BLOCK}"


def keys_in(blocks: Mapping[str, bytes]) -> dict[str, bytes]:
    """All keys of these blocks, by reference; one that was destroyed is left out."""
    found = {}
    for name, block in blocks.items():
        permit_id, number = _parse(name.removeprefix(_PREFIX))
        for place in range(len(block) // KEY_SIZE):
            key = block[place * KEY_SIZE : (place + 1) * KEY_SIZE]
            if key != _DESTROYED:
                found[key_ref(permit_id, number * KEYS_IN_BLOCK + place)] = key
    return found


def take(refs: Iterable[str], blocks: Mapping[str, bytes]) -> dict[str, bytes]:
    """These keys out of their blocks, by reference; one that is not there is left out."""
    there = keys_in(blocks)
    return {ref: there[ref] for ref in refs if ref in there}


def _parse(ref: str) -> tuple[str, int]:
    permit_id, slash, number = ref.rpartition("/")
    if not (permit_id and slash and number.isascii() and number.isdigit()):
        raise ValueError(f"not the reference of a unit key: {ref!r}")
    return permit_id, int(number)
