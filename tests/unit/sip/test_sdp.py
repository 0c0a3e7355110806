"""Session descriptions: what real peers offer, what they get, and random octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.sip import sdp
from onrecord.sip.sdp import Codec, LocalAudio, SdpError

OFFER = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nb=AS:64.5\r\nt=a b\r\n"
    b"m=video 5000 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n"
    b"m=audio 4000/2 RTP/AVP 18 8 0 101\r\nc=IN IP4 192.0.2.9/127\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-15\r\na=rtpmap:abc\r\na=rtpmap:8 pcma/8000/1\r\na=sendonly\r\nx=?\r\n"
)
PCMA = Codec(8, "PCMA", 8000)
EVENTS = Codec(101, "telephone-event", 8000, fmtp="0-15")


def test_an_offer_is_read_tolerantly() -> None:
    """Bug row 13: odd but legal lines are passed over, static types need no rtpmap."""
    audio = sdp.parse(OFFER).audio
    assert (audio.address, audio.port, audio.direction) == ("192.0.2.9", 4000, "sendonly")
    assert [codec.name for codec in audio.codecs] == ["G729", "PCMA", "PCMU", "telephone-event"]
    assert sdp.usable_codecs(audio, ["pcma", "telephone-event"]) == (PCMA, EVENTS)


def test_an_answer_refuses_all_other_lines() -> None:
    """RFC 3264 §6: one line answered, the others with port 0, all in the offer's order."""
    local = LocalAudio("198.51.100.1", 6000, (PCMA, EVENTS), session_id=5)
    answer = sdp.parse(sdp.build_answer(sdp.parse(OFFER), local))
    assert [(m.kind, m.port) for m in answer.media] == [("video", 0), ("audio", 6000)]
    assert answer.audio.codecs == (PCMA, EVENTS)
    assert answer.audio.address == "198.51.100.1"


def test_an_offer_survives_building_and_reading() -> None:
    """What we offer reads back as it was meant."""
    local = LocalAudio("198.51.100.1", 6000, (PCMA, EVENTS), session_id=5, direction="sendonly")
    audio = sdp.parse(sdp.build_offer(local)).audio
    assert (audio.codecs, audio.port, audio.direction) == (local.codecs, 6000, "sendonly")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad_sdp"),
        (b"hello", "bad_sdp"),
        (b"v=0\r\ns=-\r\n", "no_media"),
        (OFFER.replace(b"4000/2", b"99999"), "bad_port"),
        (OFFER.replace(b"4000/2", b"x"), "bad_port"),
        (OFFER.replace(b"RTP/AVP 18 8 0 101", b""), "bad_media"),
    ],
)
def test_a_broken_description_is_one_error(body: bytes, reason: str) -> None:
    """Each fault has its reason and is answered 488."""
    with pytest.raises(SdpError) as caught:
        sdp.parse(body)
    assert caught.value.reason == reason
    assert caught.value.status == 488


@pytest.mark.parametrize(
    "body",
    [
        OFFER.replace(b"m=audio 4000/2", b"m=audio 0"),
        OFFER.replace(b"m=audio 4000/2 RTP/AVP", b"m=audio 4000 RTP/SAVP"),
        OFFER.replace(b"m=audio", b"m=text"),
    ],
)
def test_no_plain_audio_is_an_error_when_it_is_asked_for(body: bytes) -> None:
    """Refused, encrypted or missing audio has no usable line."""
    with pytest.raises(SdpError, match="no_audio"):
        _ = sdp.parse(body).audio


@given(st.binary(max_size=200), st.integers(0, len(OFFER)), st.integers(0, 20))
def test_mutated_descriptions_give_a_description_or_an_sdp_error(
    noise: bytes, at: int, cut: int
) -> None:
    """The parser raises one class only, and what it returns can be answered or refused."""
    try:
        offer = sdp.parse(OFFER[:at] + noise + OFFER[at + cut :])
        sdp.build_answer(offer, LocalAudio("198.51.100.1", 6000, (PCMA,), session_id=5))
    except SdpError:
        return
