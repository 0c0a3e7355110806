"""What the ledger needs of its surroundings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from onrecord.consent_ledger.domain.entries import Head, StoredEntry
from onrecord.ledger.sealing import SECRET_SIZE


class StoreUnavailable(Exception):
    """The store did not answer in time, or failed. A write may have happened or not."""


class EntryLog(Protocol):
    """The log: entries numbered from 0 without gaps, never changed.

    Every method raises StoreUnavailable.
    """

    async def head(self) -> Head:
        """Where the log ends now."""
        ...

    async def next_seqs(self, streams: Collection[str]) -> dict[str, int]:
        """The seq that the next entry of each stream gets."""
        ...

    async def find(self, event_ids: Collection[str]) -> dict[str, StoredEntry]:
        """Those of these events that are committed, by id."""
        ...

    async def stream(self, stream: str, limit: int = 0, from_seq: int = 0) -> list[StoredEntry]:
        """The entries of a stream by seq, from a seq on; limit 0 means all."""
        ...

    async def page(self, index: int, limit: int) -> list[StoredEntry]:
        """At most `limit` entries from `index` on, in order."""
        ...

    async def insert(self, entries: Sequence[StoredEntry]) -> int:
        """Write entries in order, durably, up to the first that collides; says how many were.

        A collision is an index, an event id or a place in a stream that is already taken.
        """
        ...


class Secrets(Protocol):
    """Random octets by id, the only things here that can be destroyed.

    Every method raises StoreUnavailable.
    """

    async def ensure(self, ids: Collection[str], size: int = SECRET_SIZE) -> dict[str, bytes]:
        """The secrets with these ids; of this many octets, and durable, if they are made now."""
        ...

    async def find(self, ids: Collection[str]) -> dict[str, bytes]:
        """Those of these secrets that exist."""
        ...


@dataclass(frozen=True)
class Reached:
    """How far the relay has come: the next index, and the next offset of each `topic/partition`."""

    next_index: int
    next_offsets: Mapping[str, int]


class RelayPosition(Protocol):
    """Where the relay notes how far it has come with a broker.

    Every method raises StoreUnavailable.
    """

    async def load(self, broker: str) -> Reached:
        """What was noted for this broker; the beginning for one that was never fed."""
        ...

    async def save(self, broker: str, reached: Reached) -> None:
        """Note it, in place of what was noted before."""
        ...


@dataclass(frozen=True)
class Followed:
    """How far verdicts have come: the next index, and the calls that were open before it."""

    next_index: int
    open_calls: frozenset[str]


class VerdictPosition(Protocol):
    """Where it is noted how far verdicts have come.

    Every method raises StoreUnavailable.
    """

    async def load(self) -> Followed:
        """What was noted last; the beginning where nothing was."""
        ...

    async def save(self, followed: Followed) -> None:
        """Note it, in place of what was noted before."""
        ...
