"""What a recording server knows of a recording: snapshots merged, and who speaks in which stream.

RFC 7866 §9.2, RFC 7865 §6. A complete snapshot says all that its sender knows: associations of the
same sender that it does not name have ended. A partial one changes what it names, by id. Either way
a participant's stream association replaces the participant's former one, nothing is forgotten, and
the same snapshot again changes nothing. Another sender's words with the same ids are no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from onrecord.sip.siprec import association
from onrecord.sip.siprec.association import Association
from onrecord.sip.siprec.correlation import CorrelationId
from onrecord.sip.siprec.document import MetadataError
from onrecord.sip.siprec.metadata import Group, Participant, Session, Snapshot, Stream

MAX_OBJECTS = 1_000
Confidence = Literal["send", "past", "order", "none"]
_Object = TypeVar("_Object", Group, Session, Participant, Stream)
_Senders = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Resolution:
    """Who is heard in an m-line: several participants in a mixed stream, none where nobody knows.

    `confidence` says how it is known: `send` from an association that holds, `past` from the last
    one that held (clients take it away on hold), `order` only from the places of m-lines and
    participants, `none` not at all.
    """

    label: str
    stream: Stream | None
    participants: tuple[Participant, ...]
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class RecordingState:
    """All that was said about one recording so far; `merge` returns the next state."""

    groups: Mapping[str, Group] = field(default_factory=dict)
    sessions: Mapping[str, Session] = field(default_factory=dict)
    participants: Mapping[str, Participant] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    correlation: tuple[CorrelationId, ...] = ()
    history: tuple[Association, ...] = ()

    def merge(self, snapshot: Snapshot, now: float, source: str = "") -> RecordingState:
        """Return the state after a snapshot that was received at `now` from `source`.

        `source` names the sender, such as its dialog. `now` goes into the history as it is. Raises
        `MetadataError` where a client sends so much that a limit is passed; this state then still
        stands.
        """
        partial = snapshot.data_mode == "partial"
        state = RecordingState(
            groups=_merged(self.groups, snapshot.groups, partial=partial),
            sessions=_merged(self.sessions, snapshot.sessions, partial=partial),
            participants=_merged(self.participants, snapshot.participants, partial=partial),
            streams=_merged(self.streams, snapshot.streams, partial=partial),
            correlation=tuple(dict.fromkeys((*self.correlation, *snapshot.correlation))),
            history=association.merge(self.history, snapshot, now, source),
        )
        if len(state.correlation) > MAX_OBJECTS:
            raise MetadataError("too_much", "too many correlation ids in one recording")
        return state

    @property
    def present(self) -> tuple[Participant, ...]:
        """The participants who have not left every session, in the order of their arrival."""
        inside = {a.subject for a in self.history if a.kind == "session" and a.until is None}
        known = {a.subject for a in self.history if a.kind == "session"}
        return tuple(p for p in self.participants.values() if p.id in inside or p.id not in known)

    def resolve(self, labels: Sequence[str]) -> tuple[Resolution, ...]:
        """Say who is heard in each m-line, given the labels of all m-lines in their order.

        Where a line's stream has and had no sender, the participants present whom no line has as
        its sender are taken in their order.
        """
        by_label = {stream.label: stream for stream in self.streams.values() if stream.label}
        present = {participant.id: participant for participant in self.present}
        now, past = self._senders()
        known: list[tuple[Stream | None, tuple[Participant, ...], Confidence]] = []
        for label in labels:
            stream = by_label.get(label)
            stream_id = stream.id if stream else ""
            if sending := self._named(i for i in now.get(stream_id, []) if i in present):
                known.append((stream, sending, "send"))
            else:
                former = [i for i in past.get(stream_id, []) if i in present]
                known.append((stream, self._named(former), "past" if former else "none"))
        heard = {participant.id for _, participants, _ in known for participant in participants}
        silent = iter([p for p in present.values() if p.id not in heard])
        return tuple(
            Resolution(label, stream, (guess,), "order")
            if not participants and (guess := next(silent, None))
            else Resolution(label, stream, participants, confidence)
            for label, (stream, participants, confidence) in zip(labels, known, strict=True)
        )

    def _named(self, ids: Iterable[str]) -> tuple[Participant, ...]:
        return tuple(self.participants[i] for i in dict.fromkeys(ids) if i in self.participants)

    def _senders(self) -> tuple[_Senders, _Senders]:
        """Return by stream the participants who send it, and those who did so last."""
        sends = [entry for entry in self.history if entry.kind == "send"]
        last: dict[str, float] = {}
        for entry in sends:
            if entry.until is not None:
                last[entry.target] = max(entry.until, last.get(entry.target, entry.until))
        now: _Senders = {}
        past: _Senders = {}
        for entry in sends:
            if entry.until is None:
                now.setdefault(entry.target, []).append(entry.subject)
            elif entry.until == last[entry.target]:
                past.setdefault(entry.target, []).append(entry.subject)
        return now, past


def _merged(
    known: Mapping[str, _Object], named: Iterable[_Object], *, partial: bool
) -> dict[str, _Object]:
    """Return the objects with the named ones replaced, or in a partial snapshot filled in."""
    merged = dict(known)
    for new in named:
        old = merged.get(new.id)
        merged[new.id] = _filled(old, new) if partial and old is not None else new
    if len(merged) > MAX_OBJECTS:
        raise MetadataError("too_much", "too many objects in one recording")
    return merged


def _filled(old: _Object, new: _Object) -> _Object:
    """Return `old` with every field that `new` names."""
    values: dict[str, Any] = {f.name: getattr(new, f.name) for f in fields(new)}
    return replace(old, **{name: v for name, v in values.items() if v not in ("", (), None)})
