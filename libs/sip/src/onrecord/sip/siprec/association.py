"""RFC 7865 §6: who was where, and when: the history of associations that snapshots leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from onrecord.sip.siprec.document import MetadataError
from onrecord.sip.siprec.metadata import Snapshot

MAX_HISTORY = 10_000
Kind = Literal["recording", "session", "send", "recv"]
Key = tuple[str, Kind, str, str]


@dataclass(frozen=True, slots=True)
class Association:
    """That `subject` was in, sent or received `target`, by what `source` said.

    Kind `recording`: a session in this recording (no target); `session`: a participant in a
    session; `send` and `recv`: a participant and a stream. `since` and `until` are receive times,
    until None where it still holds; `associated` and `disassociated` are the client's own text.
    """

    source: str
    kind: Kind
    subject: str
    target: str
    since: float
    until: float | None = None
    associated: str = ""
    disassociated: str = ""

    @property
    def key(self) -> Key:
        """What makes two associations the same but for their times."""
        return self.source, self.kind, self.subject, self.target


def merge(
    history: tuple[Association, ...], snapshot: Snapshot, now: float, source: str
) -> tuple[Association, ...]:
    """Return the history after `snapshot`; the same snapshot again changes nothing.

    Raises `MetadataError` where the history would pass its limit.
    """
    said = list(_associations(snapshot, now, source))
    entries = _with_said(list(history), said)
    if len(entries) > MAX_HISTORY:
        raise MetadataError("too_much", "too many associations in one recording")
    standing = {entry.key for entry in said}
    restated = {association.participant for association in snapshot.participant_streams}
    is_complete = snapshot.data_mode == "complete"

    def is_over(entry: Association) -> bool:
        """Whether `source` has left this association of its own out where it would have said it."""
        if entry.until is not None or entry.source != source or entry.key in standing:
            return False
        return is_complete or (entry.kind in ("send", "recv") and entry.subject in restated)

    return tuple(replace(entry, until=now) if is_over(entry) else entry for entry in entries)


def _with_said(entries: list[Association], said: list[Association]) -> list[Association]:
    """Return `entries` with those added that begin, and those closed that have ended."""
    latest = {entry.key: index for index, entry in enumerate(entries)}
    ended = {(entry.key, entry.disassociated) for entry in entries if entry.disassociated}
    # Ends first: who is named as gone and as there in one document has come back.
    for new in sorted(said, key=lambda entry: not entry.disassociated):
        index = latest.get(new.key)
        is_open = index is not None and entries[index].until is None
        if new.disassociated:
            if (new.key, new.disassociated) in ended:
                continue
            ended.add((new.key, new.disassociated))
        elif is_open:
            continue
        if index is not None and is_open:
            entries[index] = replace(
                entries[index], until=new.until, disassociated=new.disassociated
            )
        else:
            latest[new.key] = len(entries)
            entries.append(new)
    return entries


def _associations(snapshot: Snapshot, now: float, source: str) -> Iterator[Association]:
    """Yield what a snapshot associates, each as an entry that begins, or is over, at `now`."""

    def entry(kind: Kind, subject: str, target: str, begin: str, end: str) -> Association:
        return Association(source, kind, subject, target, now, now if end else None, begin, end)

    for s in snapshot.session_recordings:
        yield entry("recording", s.session, "", s.associated, s.disassociated)
    for p in snapshot.participant_sessions:
        yield entry("session", p.participant, p.session, p.associated, p.disassociated)
    for m in snapshot.participant_streams:
        for stream in m.send:
            yield entry("send", m.participant, stream, m.associated, m.disassociated)
        for stream in m.recv:
            yield entry("recv", m.participant, stream, m.associated, m.disassociated)
