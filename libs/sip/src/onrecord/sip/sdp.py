"""RFC 4566 session descriptions and the part of RFC 3264 that one audio stream needs.

Reads tolerantly: unknown lines and broken attributes are passed over, all m-lines are kept. Left
out: ICE, bundles, SRTP keys, several audio streams at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from onrecord.sip.errors import SipError
from onrecord.sip.uri import parse_port

MAX_LINES = 1_000
VOICE = ("PCMU", "PCMA")
"""The codecs of RFC 3551 that every telephone has, and that we relay and record."""
DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_STATIC = {
    "0": ("PCMU", 8000), "3": ("GSM", 8000), "4": ("G723", 8000), "8": ("PCMA", 8000),
    "9": ("G722", 8000), "13": ("CN", 8000), "15": ("G728", 8000), "18": ("G729", 8000),
}  # fmt: skip
_PLAIN_RTP = ("RTP/AVP", "RTP/AVPF")


class SdpError(SipError):
    """A session description that cannot be read, or that offers nothing usable."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail, status=488)


@dataclass(frozen=True, slots=True)
class Codec:
    """One RTP payload format; `name` in upper case but for `telephone-event`."""

    payload_type: int
    name: str
    clock_rate: int
    channels: int = 1
    fmtp: str = ""


@dataclass(frozen=True, slots=True)
class Media:
    """One m-line; `port` 0 means refused, `address` is its own c-line's or the session's."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    codecs: tuple[Codec, ...] = ()
    direction: str = "sendrecv"
    address: str = ""

    @property
    def is_plain_audio(self) -> bool:
        """Whether this is unencrypted RTP audio that somebody can be sent."""
        return self.kind == "audio" and self.port > 0 and self.protocol.upper() in _PLAIN_RTP


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """All m-lines of a description, in order."""

    media: tuple[Media, ...]

    @property
    def audio_index(self) -> int:
        """The place of the first usable audio line, one in `VOICE` before any other.

        Raises `SdpError` where there is none.
        """
        usable = [i for i, m in enumerate(self.media) if m.is_plain_audio and m.address]
        if not usable:
            raise SdpError("no_audio", "no plain RTP audio line with an address")
        return next((i for i in usable if usable_codecs(self.media[i], VOICE)), usable[0])

    @property
    def audio(self) -> Media:
        """The first usable audio line; raise `SdpError` where there is none."""
        return self.media[self.audio_index]


@dataclass(frozen=True, slots=True)
class LocalAudio:
    """Our side of the stream: where we listen and what we take, best first.

    `session_id` and `version` go into the o-line; the version rises with each new description.
    """

    address: str
    port: int
    codecs: tuple[Codec, ...]
    session_id: int
    version: int = 1
    direction: str = "sendrecv"


def parse(body: bytes) -> SessionDescription:
    """Read a description; raise `SdpError` if it is none, never anything else."""
    lines = body.decode("utf-8", "replace").replace("\r", "\n").split("\n", MAX_LINES)[:MAX_LINES]
    sections: list[list[str]] = [[]]
    for line in (line.strip() for line in lines):
        if line.startswith("m="):
            sections.append([line])
        elif line[1:2] == "=":
            sections[-1].append(line)
    if not any(line.startswith("v=") for line in sections[0]):
        raise SdpError("bad_sdp", "a description must begin with v=")
    if len(sections) == 1:
        raise SdpError("no_media", "a description must have an m-line")
    address = _address(sections[0], "")
    direction = _direction(sections[0], "sendrecv")
    return SessionDescription(tuple(_media(s, address, direction) for s in sections[1:]))


def usable_codecs(media: Media, names: Iterable[str]) -> tuple[Codec, ...]:
    """Return the codecs of `media` whose names are in `names`, in the order of the description."""
    wanted = {name.lower() for name in names}
    return tuple(codec for codec in media.codecs if codec.name.lower() in wanted)


def build_offer(local: LocalAudio) -> bytes:
    """Return an offer of one audio stream."""
    return _describe(local, _audio_lines(local))


def build_answer(offer: SessionDescription, local: LocalAudio) -> bytes:
    """Answer the first usable audio line of `offer` with `local`; refuse the others by port 0.

    The codecs must carry the offer's payload type numbers (RFC 3264 §6.1); raise `SdpError` where
    the offer has no usable audio line.
    """
    chosen = offer.audio_index
    lines: list[str] = []
    for index, media in enumerate(offer.media):
        if index == chosen:
            lines += _audio_lines(local, media.protocol)
        else:
            lines.append(f"m={media.kind} 0 {media.protocol} {' '.join(media.formats)}")
    return _describe(local, lines)


def _media(lines: list[str], address: str, direction: str) -> Media:
    parts = lines[0][2:].split()
    if len(parts) < 4:
        raise SdpError("bad_media", "an m-line must be kind, port, protocol and formats")
    port_text = parts[1].partition("/")[0]
    try:
        port = 0 if port_text == "0" else parse_port(port_text)
    except SipError as fault:
        raise SdpError("bad_port", fault.detail) from None
    formats = tuple(parts[3:])
    media = Media(parts[0].lower(), port, parts[2], formats)
    return replace(
        media,
        codecs=_codecs(formats, lines),
        direction=_direction(lines, direction),
        address=_address(lines, address),
    )


def _codecs(formats: tuple[str, ...], lines: list[str]) -> tuple[Codec, ...]:
    names = {f: _STATIC[f] + (1,) for f in formats if f in _STATIC}
    for payload_type, text in _attributes(lines, "rtpmap"):
        name, _, rate = text.partition("/")
        rate, _, channels = rate.partition("/")
        if name and _is_number(rate, 1_000_000):
            count = int(channels) if _is_number(channels, 255) else 1
            names[payload_type] = _spelling(name), int(rate), count
    fmtp = dict(_attributes(lines, "fmtp"))
    return tuple(
        Codec(int(f), *names[f], fmtp.get(f, ""))
        for f in dict.fromkeys(formats)
        if f in names and _is_number(f, 127)
    )


def _attributes(lines: list[str], name: str) -> list[tuple[str, str]]:
    """Return `a=name:first rest` attributes as pairs."""
    prefix = f"a={name}:"
    values = [line[len(prefix) :].strip() for line in lines if line.startswith(prefix)]
    return [(first, rest.strip()) for first, _, rest in (v.partition(" ") for v in values)]


def _spelling(name: str) -> str:
    return "telephone-event" if name.lower() == "telephone-event" else name.upper()


def _is_number(text: str, highest: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= highest


def _direction(lines: list[str], otherwise: str) -> str:
    flags = (line[2:] for line in lines if line.startswith("a="))
    return next((flag for flag in flags if flag in DIRECTIONS), otherwise)


def _address(lines: list[str], otherwise: str) -> str:
    for line in lines:
        if line.startswith("c="):
            parts = line[2:].split()
            return parts[2].partition("/")[0] if len(parts) == 3 else ""
    return otherwise


def _audio_lines(local: LocalAudio, protocol: str = "RTP/AVP") -> list[str]:
    types = " ".join(str(codec.payload_type) for codec in local.codecs)
    lines = [f"m=audio {local.port} {protocol} {types}"]
    for codec in local.codecs:
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        lines.append(f"a=rtpmap:{codec.payload_type} {codec.name}/{codec.clock_rate}{channels}")
        if codec.fmtp:
            lines.append(f"a=fmtp:{codec.payload_type} {codec.fmtp}")
    return [*lines, "a=ptime:20", f"a={local.direction}"]


def _describe(local: LocalAudio, media_lines: list[str]) -> bytes:
    head = [
        "v=0",
        f"o=- {local.session_id} {local.version} IN IP4 {local.address}",
        "s=-",
        f"c=IN IP4 {local.address}",
        "t=0 0",
    ]
    return ("\r\n".join([*head, *media_lines]) + "\r\n").encode()
