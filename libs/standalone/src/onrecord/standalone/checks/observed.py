"""What a checker has seen of one call: the stores, the bus and the two phones, as plain data.

Nothing here comes from a service's memory or code: see `reader` for where it is read.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onrecord.ledger.canonical import CanonicalEntry, decode_entry
from onrecord.rtp.storage.sealing import unseal
from onrecord.rtp.storage.unit import Frame, UnitHeader, decode_unit
from onrecord.softphone.media import MediaFrame

PARTIES = ("caller", "agent")

Log = tuple[tuple[int, str, int], ...]
"""Index, stream and number in it of every entry of the whole log, in the order of the index."""


class Broken(Exception):
    """A promise that does not hold; the text says which fact shows it."""


@dataclass(frozen=True)
class LoggedEntry:
    """One document of the ledger's collection `entries`, as it stands there."""

    index: int
    event_id: str
    stream: str
    seq: int
    canonical: bytes
    sealed: Mapping[str, bytes]
    leaf: bytes
    call: str
    type: str

    @functools.cached_property
    def entry(self) -> CanonicalEntry:
        """The canonical bytes, read strictly. Raises CanonicalError."""
        return decode_entry(self.canonical)


@dataclass(frozen=True)
class Traces:
    """What stands elsewhere of the log: its calls that are known there, how long it was at least.

    To be read before the log is: it grows.
    """

    calls: frozenset[str]
    length: int


@dataclass(frozen=True)
class Published:
    """One Kafka record."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Mapping[str, bytes]


@dataclass(frozen=True)
class PhoneTape:
    """What one party's phone sent and received, and when its call was over (UTC ns).

    `listens_on` is the address of its own SDP, `sends_to` that of the SDP it was given.
    """

    sent: tuple[MediaFrame, ...]
    received: tuple[MediaFrame, ...]
    ended_ns: int
    listens_on: tuple[str, int] | None = None
    sends_to: tuple[str, int] | None = None


@dataclass(frozen=True)
class Release:
    """Audio that was released: the file, when its first octet came (UTC ns), to whom, what for."""

    wav: bytes
    first_octet_ns: int
    person: str
    purpose: str


@dataclass(frozen=True)
class Observed:
    """Everything about one call.

    `log` is (stream, seq) of every entry of the whole log in the order of its index, `entries` the
    call's own. `phones` are the tapes of what was sent, by leg. `objects` are the bodies under the
    call's keys, `unit_keys` the data keys by reference, `spool` the names of files left there.
    `private` are texts that may stand nowhere in clear: the numbers of the call. `projection` is
    the call's document in retrieval's index.
    """

    call: str
    log: Log
    entries: tuple[LoggedEntry, ...]
    published: tuple[Published, ...]
    objects: Mapping[str, bytes]
    unit_keys: Mapping[str, bytes]
    spool: tuple[str, ...]
    phones: Mapping[str, PhoneTape]
    release: Release | None = None
    private: tuple[str, ...] = ()
    projection: Mapping[str, Any] | None = None

    def of_type(self, *types: str) -> list[CanonicalEntry]:
        """The call's entries of these types, in the order of the log."""
        return [logged.entry for logged in self.entries if logged.entry.type in types]

    def only(self, event_type: str) -> CanonicalEntry:
        """The one entry of this type. Raises Broken when there is none or another."""
        found = self.of_type(event_type)
        if len(found) != 1:
            raise Broken(f"{len(found)} entries {event_type}, not one")
        return found[0]

    @property
    def verdict(self) -> CanonicalEntry:
        """The verdict that holds: the latest. Raises Broken when it does not go back to the one."""
        latest = self.only("call.verdict")
        for amended in self.of_type("call.verdict_amended"):
            if amended.fields["amends"] != latest.event_id or amended.index < latest.index:
                raise Broken(f"{amended.event_id} does not amend {latest.event_id}")
            latest = amended
        return latest

    @functools.cached_property
    def units(self) -> list[StoredUnit]:
        """Every listed unit, opened. Raises Broken for one that is missing or does not open."""
        listed = [unit for e in self.of_type("recording.stored") for unit in e.fields["units"]]
        return [self._open(unit) for unit in listed]

    def frames(self, leg: str) -> list[Frame]:
        """The stored frames of a leg, in the order of SSRC's first arrival and sequence."""
        found = [frame for unit in self.units if unit.header.leg == leg for frame in unit.frames]
        sources = list(dict.fromkeys(frame.ssrc for frame in found))
        return sorted(found, key=lambda frame: (sources.index(frame.ssrc), frame.sequence))

    def spans(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Party and span of each notice that was given by us."""
        for given in self.of_type("notice.given"):
            if "span" in given.fields:
                yield given.fields["party"], given.fields["span"]

    def _open(self, listed: dict[str, Any]) -> StoredUnit:
        key = listed["object_key"]
        if key not in self.objects:
            raise Broken(f"no object {key}")
        if listed["key_ref"] not in self.unit_keys:
            raise Broken(f"no key {listed['key_ref']}")
        plain = unseal(self.objects[key], self.unit_keys[listed["key_ref"]], key.encode())
        header, frames = decode_unit(plain)
        return StoredUnit(listed, header, tuple(frames))


@dataclass(frozen=True)
class StoredUnit:
    """One stored unit: how `recording.stored` lists it, and what is in it."""

    listed: Mapping[str, Any]
    header: UnitHeader
    frames: tuple[Frame, ...]
