"""RFC 3264 between two parties with a recorder in the middle that never transcodes.

The agent is offered only what the caller can use, under the caller's payload types; the caller is
then answered with what the agent took.
"""

from __future__ import annotations

import re
from dataclasses import replace

from onrecord.sip import sdp
from onrecord.sip.sdp import Codec, LocalAudio, Media, SdpError

VOICE = ("PCMU", "PCMA")
_KEPT = (*VOICE, "telephone-event")
_CLOCK_RATE = 8000
_ORIGIN = re.compile(rb"(?m)^o=(\S+ \S+) (\d+) ([^\r\n]*)")


def caller_audio(offer: bytes) -> Media:
    """Return the caller's audio with the codecs that we relay; raise `SdpError` for none."""
    return _with_voice(sdp.parse(offer).audio)


def agent_audio(answer: bytes, caller: Media) -> Media:
    """Return the agent's audio with those codecs that were offered; raise `SdpError` for none."""
    media = sdp.parse(answer).audio
    offered = {codec.payload_type for codec in caller.codecs}
    agreed = tuple(codec for codec in media.codecs if codec.payload_type in offered)
    return _with_voice(replace(media, codecs=agreed))


def offer_to_agent(caller: Media, ours: tuple[str, int], session_id: int) -> bytes:
    """Offer the agent what the caller can use, at the recorder's address for the agent."""
    return sdp.build_offer(LocalAudio(*ours, caller.codecs, session_id, direction=caller.direction))


def answer_to_caller(offer: bytes, agent: Media, ours: tuple[str, int], session_id: int) -> bytes:
    """Answer the caller with what the agent took, at the recorder's address for the caller."""
    local = LocalAudio(*ours, agent.codecs, session_id, direction=agent.direction)
    return sdp.build_answer(sdp.parse(offer), local)


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


def is_unchanged(body: bytes, known: Media) -> bool:
    """Whether a re-INVITE asks for nothing new (a session refresh, RFC 4028 §7.4)."""
    try:
        media = sdp.parse(body).audio
    except SdpError:
        return False
    same_place = (media.address, media.port) == (known.address, known.port)
    types = {codec.payload_type for codec in media.codecs}
    return (
        same_place
        and media.direction == known.direction
        and types >= {codec.payload_type for codec in known.codecs}
    )


def _with_voice(media: Media) -> Media:
    usable = tuple(
        codec
        for codec in sdp.usable_codecs(media, _KEPT)
        if codec.clock_rate == _CLOCK_RATE and codec.channels == 1
    )
    media = replace(media, codecs=usable)
    if voice_of(media) is None:
        raise SdpError("no_common_codec", f"no codec of {', '.join(VOICE)}")
    if media.address == "0.0.0.0":  # how RFC 2543 held a call
        raise SdpError("on_hold", "a call cannot begin on hold")
    return media
