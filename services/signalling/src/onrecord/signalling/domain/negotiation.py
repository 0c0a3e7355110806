"""RFC 3264 between two parties with a recorder in the middle that never transcodes.

The agent is offered only what the caller can use, under the caller's payload types; the caller is
then answered with what the agent took.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from onrecord.sip import sdp
from onrecord.sip.sdp import VOICE, Codec, Media, SdpError, SessionDescription

_KEPT = (*VOICE, "telephone-event")
_CLOCK_RATE = 8000
_NOWHERE = ("0.0.0.0", "::")
_ORIGIN = re.compile(rb"(?m)^o=(\S+ \S+) (\d+) ([^\r\n]*)")


_OURS = (
    Codec(8, "PCMA", _CLOCK_RATE),
    Codec(0, "PCMU", _CLOCK_RATE),
    Codec(101, "telephone-event", _CLOCK_RATE, fmtp="0-15"),
)


def caller_audio(offer: bytes) -> Media:
    """Return the caller's audio with the codecs that we relay; raise `SdpError` for none.

    A caller that makes no offer can be asked for everything that we relay: where it listens comes
    with its answer.
    """
    if not offer:
        return Media("audio", 0, "RTP/AVP", (), _OURS)
    return _with_a_place(_with_voice(sdp.parse(offer).audio))


def answered_audio(answer: bytes, other: Media) -> Media:
    """Return a party's audio with those codecs that the other has; raise `SdpError` for none."""
    media = sdp.parse(answer).audio
    offered = {codec.payload_type for codec in other.codecs}
    agreed = tuple(codec for codec in media.codecs if codec.payload_type in offered)
    return _with_a_place(_with_voice(replace(media, codecs=agreed)))


def later_audio(body: bytes, known: Media) -> tuple[SessionDescription, Media]:
    """Read what a party describes later in the call, with the voice codec that was agreed.

    The codec stays as it is: the relay never transcodes and a stored unit has one. An address of
    zeros is how RFC 2543 held a call (RFC 3264 §8.4): the direction then says so, and the place
    stays the known one. Raises `SdpError` for no usable audio.
    """
    description = sdp.parse(body)
    names = {codec.name for codec in known.codecs} | {"telephone-event"}
    media = _with_voice(description.audio, names)
    if media.address in _NOWHERE:
        held = "sendonly" if media.direction in ("sendrecv", "sendonly") else "inactive"
        media = replace(media, address=known.address, port=known.port, direction=held)
    return description, media


def later_answer(body: bytes, offered: Media, known: Media) -> tuple[SessionDescription, Media]:
    """Read a party's answer to a later offer. Raises `SdpError` for no format of the offer."""
    description, media = later_audio(body, replace(known, codecs=offered.codecs))
    types = {codec.payload_type for codec in offered.codecs}
    agreed = tuple(codec for codec in media.codecs if codec.payload_type in types)
    return description, _with_voice(replace(media, codecs=agreed))


def answered_direction(offered: str, other: str) -> str:
    """What we answer to a party that offered one direction, when the far side took another.

    RFC 3264 §6.1: an answer never sends what the offer does not receive, nor the reverse.
    """
    sends = offered in ("sendrecv", "recvonly") and other in ("sendrecv", "sendonly")
    receives = offered in ("sendrecv", "sendonly") and other in ("sendrecv", "recvonly")
    return {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}.get(
        (sends, receives), "inactive"
    )


def direct_offer(offer: bytes, before: bytes) -> bytes:
    """The caller's own `offer` as the next version of what we offered `before` (RFC 3264 §8)."""
    origin = _ORIGIN.search(before)
    if origin is None:
        return offer
    session, version, address = origin.groups()
    line = b"o=%s %d %s" % (session, int(version) + 1, address)
    return re.sub(rb"(?m)^o=[^\r\n]*", lambda _: line, offer, count=1)


def voice_of(media: Media) -> Codec | None:
    """The codec in which the party speaks: its first for voice."""
    return next((codec for codec in media.codecs if codec.name in VOICE), None)


def has_the_same_formats(media: Media, known: Media) -> bool:
    """Whether a later description still has every format that was agreed, and the direction."""
    types = {codec.payload_type for codec in media.codecs}
    return media.direction == known.direction and types >= {
        codec.payload_type for codec in known.codecs
    }


def has_the_same_place(media: Media, known: Media) -> bool:
    """Whether a party still receives where it did."""
    return (media.address, media.port) == (known.address, known.port)


def _with_voice(media: Media, names: Iterable[str] = _KEPT) -> Media:
    usable = tuple(
        codec
        for codec in sdp.usable_codecs(media, names)
        if codec.clock_rate == _CLOCK_RATE and codec.channels == 1
    )
    media = replace(media, codecs=usable)
    if voice_of(media) is None:
        raise SdpError("no_common_codec", f"no codec of {', '.join(VOICE)}")
    return media


def _with_a_place(media: Media) -> Media:
    if media.address in _NOWHERE:
        raise SdpError("on_hold", "a call cannot begin on hold")
    return media
