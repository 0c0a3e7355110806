"""RFC 7865 recording metadata: one XML document becomes one frozen `Snapshot`.

Read beside the RFC's own form: the drafts' (`id`, `session`, `parent`; `<aor>`, `<send>` and times
inside the participant), BroadWorks' `recording_metadata`, any namespace, prefix and case. Ids are
opaque. Times stay text, as many clients name no zone or a wrong year: what counts is when the
document was received, and the caller knows that. Not checked: that references lead anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from onrecord.sip.siprec import correlation, document
from onrecord.sip.siprec.aor import normalise
from onrecord.sip.siprec.correlation import CorrelationId
from onrecord.sip.siprec.document import Element, MetadataError

DataMode = Literal["complete", "partial"]
_ROOTS = ("recording", "recordingmetadata")
_BEGIN = ("associatetime", "starttime")
_END = ("disassociatetime", "stoptime")


@dataclass(frozen=True, slots=True)
class Group:
    """A communication session group (§6.2)."""

    id: str
    associated: str = ""
    disassociated: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A communication session (§6.3); `start` and `stop` are the client's text."""

    id: str
    group: str = ""
    reasons: tuple[str, ...] = ()
    sip_session_ids: tuple[str, ...] = ()
    start: str = ""
    stop: str = ""


@dataclass(frozen=True, slots=True)
class NameId:
    """How a participant is called: `aor` in one spelling, `raw` as it came, a display name."""

    aor: str
    raw: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Participant:
    """A participant (§6.5); `calling`: whether it began the call, where a vendor says so."""

    id: str
    names: tuple[NameId, ...] = ()
    calling: bool | None = None

    @property
    def aor(self) -> str:
        """The first address of record, empty where there is none."""
        return self.names[0].aor if self.names else ""


@dataclass(frozen=True, slots=True)
class Stream:
    """A media stream (§6.7): `label` is the `a=label` of its m-line, `mode` mixed or separate."""

    id: str
    session: str = ""
    label: str = ""
    content_type: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True)
class SessionRecording:
    """That a session is in this recording (§6.4)."""

    session: str
    associated: str = ""
    disassociated: str = ""


@dataclass(frozen=True, slots=True)
class ParticipantSession:
    """That a participant is in a session (§6.6)."""

    participant: str
    session: str
    associated: str = ""
    disassociated: str = ""


@dataclass(frozen=True, slots=True)
class ParticipantStream:
    """Which streams a participant sends and receives (§6.8): all of them, not a change to them."""

    participant: str
    send: tuple[str, ...] = ()
    recv: tuple[str, ...] = ()
    associated: str = ""
    disassociated: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One metadata document, everything in the order in which it stands there."""

    data_mode: DataMode = "complete"
    groups: tuple[Group, ...] = ()
    sessions: tuple[Session, ...] = ()
    participants: tuple[Participant, ...] = ()
    streams: tuple[Stream, ...] = ()
    session_recordings: tuple[SessionRecording, ...] = ()
    participant_sessions: tuple[ParticipantSession, ...] = ()
    participant_streams: tuple[ParticipantStream, ...] = ()
    correlation: tuple[CorrelationId, ...] = ()


def parse(octets: bytes) -> Snapshot:
    """Read one document; raise `MetadataError` and nothing else, for any octets.

    An object without an id is given one by its place (`#participant1`), so that it is not lost.
    """
    root = document.parse(octets)
    if root.name not in _ROOTS:
        raise MetadataError("unknown_root", "the document is no recording metadata")
    participants = list(_identified(root, "participant"))
    sessions = list(_identified(root, "session"))
    return Snapshot(
        data_mode="partial" if root.value("datamode").lower() == "partial" else "complete",
        groups=tuple(_group(id_, e) for id_, e in _identified(root, "group")),
        sessions=tuple(_session(id_, e) for id_, e in sessions),
        participants=tuple(_participant(id_, e) for id_, e in participants),
        streams=tuple(_stream(id_, e) for id_, e in _identified(root, "stream")),
        session_recordings=tuple(_session_recordings(root, sessions)),
        participant_sessions=tuple(_participant_sessions(root, participants)),
        participant_streams=tuple(_participant_streams(root, participants)),
        correlation=tuple(dict.fromkeys(_correlation(root))),
    )


def _identified(root: Element, kind: str) -> Iterator[tuple[str, Element]]:
    """Yield the elements of a kind with their ids: `session_id` by the RFC, `id` by its drafts."""
    for index, element in enumerate(root.all(kind), start=1):
        yield element.attribute(f"{kind}id", "id") or f"#{kind}{index}", element


def _group(id_: str, element: Element) -> Group:
    return Group(id_, element.value(*_BEGIN), element.value(*_END))


def _session(id_: str, element: Element) -> Session:
    return Session(
        id_,
        group=element.value("groupref") or element.attribute("group", "groupid"),
        reasons=_texts(element, "reason"),
        sip_session_ids=_texts(element, "sipsessionid"),
        start=element.value("starttime"),
        stop=element.value("stoptime"),
    )


def _participant(id_: str, element: Element) -> Participant:
    names = [
        NameId(normalise(raw), raw, name_id.value("name"))
        for name_id in element.all("nameid")
        if (raw := name_id.attribute("aor") or name_id.value("aor"))
    ]
    if not names and (
        raw := element.value("aor")
    ):  # the drafts, Oracle before an answer, BroadWorks
        names = [NameId(normalise(raw), raw, element.value("name"))]
    return Participant(id_, tuple(names), _calling(element))


def _calling(element: Element) -> bool | None:
    """Return Oracle's `apkt:callingParty` or Intrado's `role` as one word."""
    for child in element.descendants():
        if child.name == "callingparty" and child.text.lower() in ("true", "false"):
            return child.text.lower() == "true"
        if child.name == "role" and child.text.lower() in ("calling", "called"):
            return child.text.lower() == "calling"
    return None


def _stream(id_: str, element: Element) -> Stream:
    return Stream(
        id_,
        session=element.attribute("sessionid", "session"),
        label=element.value("label"),
        content_type=element.value("contenttype", "content"),
        mode=element.value("mode").lower(),
    )


def _session_recordings(
    root: Element, sessions: list[tuple[str, Element]]
) -> Iterator[SessionRecording]:
    for element in root.all("sessionrecordingassoc"):
        yield SessionRecording(
            element.attribute("sessionid", "session"), element.value(*_BEGIN), element.value(*_END)
        )
    for session, element in sessions:  # the drafts
        if begin := element.value("associatetime"):
            yield SessionRecording(session, begin, element.value("disassociatetime"))


def _participant_sessions(
    root: Element, participants: list[tuple[str, Element]]
) -> Iterator[ParticipantSession]:
    associations = (
        (e.attribute("participantid", "participant", "id"), e)
        for e in root.all("participantsessionassoc")
    )
    for participant, element in chain(associations, participants):
        if session := element.attribute("sessionid", "session"):
            yield ParticipantSession(
                participant, session, element.value(*_BEGIN), element.value(*_END)
            )


def _participant_streams(
    root: Element, participants: list[tuple[str, Element]]
) -> Iterator[ParticipantStream]:
    for element in root.all("participantstreamassoc"):
        participant = element.attribute("participantid", "participant", "id")
        times = element.value(*_BEGIN), element.value(*_END)
        yield ParticipantStream(
            participant, _references(element, "send"), _references(element, "recv"), *times
        )
    for participant, element in participants:  # the drafts
        send, recv = _references(element, "send"), _references(element, "recv")
        if send or recv:
            yield ParticipantStream(
                participant, send, recv, element.value(*_BEGIN), element.value(*_END)
            )


def _references(element: Element, name: str) -> tuple[str, ...]:
    """Return the stream ids under `send` or `recv`; BroadWorks puts each into an `<id>`."""
    found = [child.text or child.value("id") for child in element.all(name)]
    return tuple(dict.fromkeys(filter(None, found)))


def _texts(element: Element, name: str) -> tuple[str, ...]:
    return tuple(child.text for child in element.all(name) if child.text)


def _correlation(root: Element) -> Iterator[CorrelationId]:
    for child in root.children:
        owner = child.attribute(f"{child.name}id", "id")
        if child.name == "extensiondata":  # beside what it belongs to (BroadWorks)
            owner = child.attribute("parent") or owner
        shell = Element("", children=[child])
        yield from correlation.from_element(shell, owner)
