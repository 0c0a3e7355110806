"""Media lines of a recording session: what is read, how it is answered, random octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.sip.sdp import SdpError
from onrecord.sip.siprec import description
from onrecord.sip.siprec.description import Answer, LocalRecorder
from onrecord.sip.siprec.request import MAX_REASON, snapshot_request

HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
AUDIO = "m=audio 4000 RTP/AVP 0\r\n"


def answer(offer: str, *, address: str = "198.51.100.1") -> Answer:
    """The answer with a port for every line that can be recorded."""
    lines = description.parse((HEAD + offer).encode())
    ports = {index: 5000 + 2 * index for index in description.recordable(lines)}
    return description.build_answer(lines, LocalRecorder(address, ports, session_id=1))


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("a=sendonly\r\n", "recvonly"),
        ("a=sendrecv\r\n", "recvonly"),
        ("", "recvonly"),
        ("a=inactive\r\n", "inactive"),
        ("a=recvonly\r\n", "inactive"),
    ],
)
def test_a_recorder_listens_or_waits(direction: str, expected: str) -> None:
    """RFC 7866 §7.2 and RFC 3264 §6.1: never anything but recvonly or inactive."""
    (line,) = answer(AUDIO + direction).lines
    assert line.direction == expected


@pytest.mark.parametrize(
    ("line", "codecs"),
    [
        ("RTP/AVP 18 8 0", [(8, "PCMA")]),
        ("RTP/AVP 18 96\r\na=rtpmap:96 pcmu/8000", [(96, "PCMU")]),
        ("RTP/AVP 96 0\r\na=rtpmap:96 PCMU/16000", [(0, "PCMU")]),
        ("RTP/AVP 0 9\r\na=rtpmap:9 telephone-event/8000", [(0, "PCMU"), (9, "telephone-event")]),
        ("RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/48000", [(0, "PCMU")]),
        ("RTP/AVPF 0", [(0, "PCMU")]),
        ("RTP/AVP 18", []),
        ("RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000", []),
        ("RTP/SAVP 0", []),
        ("UDP/TLS/RTP/SAVPF 0", []),
    ],
)  # fmt: skip
def test_the_codec_is_chosen_for_each_line(line: str, codecs: list[tuple[int, str]]) -> None:
    """The first of PCMU and PCMA in the client's order, under its numbers, with its events."""
    (answered,) = answer(f"m=audio 4000 {line}\r\n").lines
    assert [(codec.payload_type, codec.name) for codec in answered.codecs] == codecs
    assert bool(answered.port) == bool(codecs)


def test_missing_labels_are_invented_beside_those_that_exist() -> None:
    """RFC 7866 §7.1.1 demands them; opaque ones are echoed as they are."""
    offer = AUDIO + AUDIO + "a=label:1\r\n" + AUDIO + "a=label:a_leg/x\r\n" + AUDIO
    assert [line.label for line in answer(offer).lines] == ["2", "1", "a_leg/x", "3"]
    assert b"a=label:a_leg/x\r\n" in answer(offer).body


def test_recording_state_and_preference_are_read_per_line_or_session() -> None:
    """RFC 7866 §7.1.2, §7.1.3: the media line's word goes before the session's."""
    offer = "a=record:ON\r\na=recordpref:nopreference\r\n" + AUDIO + "a=record:paused\r\n"
    offer += AUDIO + "a=recordpref:off\r\na=record:maybe\r\n"
    lines = description.parse((HEAD + offer).encode())
    assert [(line.record, line.recordpref) for line in lines] == [
        ("paused", "nopreference"),
        ("on", "off"),
    ]


def test_a_line_that_ends_is_answered_with_port_zero() -> None:
    """Oracle drops a leg by port 0 in a re-INVITE; the other one goes on."""
    lines = answer("m=audio 0 RTP/AVP 0\r\n" + AUDIO).lines
    assert [line.port for line in lines] == [0, 5002]


def test_an_ipv6_recorder_says_so() -> None:
    """RFC 4566 §5.7: the address family stands beside the address."""
    assert b"c=IN IP6 2001:db8::1\r\n" in answer(AUDIO, address="2001:db8::1").body


def test_too_many_lines_are_refused() -> None:
    """Each line costs a port; nobody needs more than the limit."""
    with pytest.raises(SdpError, match="too_many_media"):
        answer(AUDIO * (description.MAX_MEDIA + 1))


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 30))
def test_mutated_offers_give_an_answer_or_an_sdp_error(noise: bytes, at: int, cut: int) -> None:
    """One error class, and every answer has the offer's lines and can be read."""
    body = (HEAD + AUDIO + "a=label:1\r\na=sendonly\r\n" + AUDIO).encode()
    try:
        lines = description.parse(body[:at] + noise + body[at + cut :])
    except SdpError:
        return
    ports = dict.fromkeys(description.recordable(lines), 5000)
    built = description.build_answer(lines, LocalRecorder("198.51.100.1", ports, session_id=1))
    assert len(description.parse(built.body)) == len(built.lines) == len(lines)


def test_a_snapshot_is_asked_for_in_one_line() -> None:
    """RFC 7866 §9.2: an UPDATE with this disposition, this type and no SDP."""
    part = snapshot_request("server restarted\r\nContent-Length: 0 " + "x" * 500)
    assert (part.disposition, part.media_type) == (
        "recording-session",
        "application/rs-metadata-request",
    )
    assert part.body.startswith(b"server restarted Content-Length: 0 xx")
    assert part.body.count(b"\r\n") == 1
    assert len(part.body) == MAX_REASON + 2
