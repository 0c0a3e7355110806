"""RFC 7866 §7: the media lines of a recording session's offer, and their answer.

Reads `a=label`, `a=record` and `a=recordpref` beside what `onrecord.sip.sdp` reads. A recorder
listens and never talks: it answers `recvonly`, or `inactive` where the client pauses or the gate is
not open yet (§7.2). Left out: SRTP, whose lines are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from onrecord.sip import sdp
from onrecord.sip.sdp import Codec, Media, SdpError

CODECS = ("PCMU", "PCMA")
CLOCK_RATE = 8_000
MAX_MEDIA = 32
Gate = Literal["open", "inactive"]
_RECORD = ("on", "off", "paused")
_RECORD_PREFERENCES = ("on", "off", "pause", "nopreference")


@dataclass(frozen=True, slots=True)
class RecordedMedia:
    """One m-line of an offer; `label`, `record`, `recordpref` are empty where there is none."""

    media: Media
    label: str = ""
    record: str = ""
    recordpref: str = ""

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The voice codec to record and its telephone-event; empty where nothing can be kept."""
        if not self.media.is_plain_audio:
            return ()
        usable = [c for c in self.media.codecs if (c.clock_rate, c.channels) == (CLOCK_RATE, 1)]
        voice = next((c for c in usable if c.name in CODECS), None)
        events = next((c for c in usable if c.name == "telephone-event"), None)
        return tuple(codec for codec in (voice, events) if codec) if voice else ()

    @property
    def is_paused(self) -> bool:
        """Whether the client sends nothing in this line."""
        return self.media.direction not in ("sendonly", "sendrecv")


@dataclass(frozen=True, slots=True)
class LocalRecorder:
    """Our side: `ports` by the index of the m-line (a line without one is refused), and the gate.

    `session_id` and `version` go into the o-line; the version rises with each new description.
    """

    address: str
    ports: Mapping[int, int]
    session_id: int
    version: int = 1
    gate: Gate = "open"


@dataclass(frozen=True, slots=True)
class AnsweredLine:
    """What was answered to one m-line; a refused one has port 0, no codec, and is inactive."""

    label: str
    port: int
    codecs: tuple[Codec, ...] = ()
    direction: str = "inactive"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer's octets and what they say, one line for each m-line of the offer."""

    body: bytes
    lines: tuple[AnsweredLine, ...]


def parse(body: bytes) -> tuple[RecordedMedia, ...]:
    """Return every m-line of a description; raise `SdpError` and nothing else, for any octets."""
    media = sdp.parse(body).media
    if len(media) > MAX_MEDIA:
        raise SdpError("too_many_media", f"a recording session may have {MAX_MEDIA} m-lines")
    session, *sections = _sections(body)
    if len(sections) != len(media):
        raise SdpError("bad_sdp", "the m-lines cannot be told apart")
    return tuple(
        RecordedMedia(
            line,
            label=_attribute(section, "label"),
            record=_choice(section, session, "record", _RECORD),
            recordpref=_choice(section, session, "recordpref", _RECORD_PREFERENCES),
        )
        for line, section in zip(media, sections, strict=True)
    )


def recordable(offer: tuple[RecordedMedia, ...]) -> tuple[int, ...]:
    """The indexes of the m-lines that can be recorded, which are the ones that need a port."""
    return tuple(index for index, line in enumerate(offer) if line.codecs)


def labels(offer: tuple[RecordedMedia, ...]) -> tuple[str, ...]:
    """The label of each m-line: the client's own, or an invented one that no other line has."""
    taken = {line.label for line in offer}
    free = (str(number) for number in range(1, 2 * len(offer) + 1) if str(number) not in taken)
    return tuple(line.label or next(free) for line in offer)


def build_answer(offer: tuple[RecordedMedia, ...], local: LocalRecorder) -> Answer:
    """Answer every m-line in its place (RFC 3264 §6): one voice codec each, the labels echoed."""
    lines: list[AnsweredLine] = []
    text = [
        "v=0",
        f"o=- {local.session_id} {local.version} IN {_family(local.address)} {local.address}",
        "s=-",
        f"c=IN {_family(local.address)} {local.address}",
        "t=0 0",
    ]
    for index, (line, label) in enumerate(zip(offer, labels(offer), strict=True)):
        port = local.ports.get(index, 0)
        answered = AnsweredLine(label, 0)
        if port and line.codecs:
            inactive = line.is_paused or local.gate == "inactive"
            direction = "inactive" if inactive else "recvonly"
            answered = AnsweredLine(label, port, line.codecs, direction)
        lines.append(answered)
        text += _media_lines(line.media, answered)
    return Answer(("\r\n".join(text) + "\r\n").encode(), tuple(lines))


def _media_lines(media: Media, answered: AnsweredLine) -> list[str]:
    if not answered.port:
        return [f"m={media.kind} 0 {media.protocol} {' '.join(media.formats)}"]
    types = " ".join(str(codec.payload_type) for codec in answered.codecs)
    lines = [f"m={media.kind} {answered.port} {media.protocol} {types}"]
    for codec in answered.codecs:
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}")
        if codec.fmtp:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
    return [*lines, f"a={answered.direction}", f"a=label:{answered.label}"]


def _sections(body: bytes) -> list[list[str]]:
    """Split a description as `sdp.parse` does: the session's lines, then those of each m-line."""
    text = body.decode("utf-8", "replace").replace("\r", "\n")
    sections: list[list[str]] = [[]]
    for line in (line.strip() for line in text.split("\n", sdp.MAX_LINES)[: sdp.MAX_LINES]):
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    return sections


def _attribute(section: list[str], name: str) -> str:
    prefix = f"a={name}:"
    return next((line[len(prefix) :].strip() for line in section if line.startswith(prefix)), "")


def _choice(section: list[str], session: list[str], name: str, choices: tuple[str, ...]) -> str:
    """Return a known value, the media line's before the session's (RFC 7866 §7.1.2)."""
    values = (_attribute(lines, name).lower() for lines in (section, session))
    return next((value for value in values if value in choices), "")


def _family(address: str) -> str:
    return "IP6" if ":" in address else "IP4"
