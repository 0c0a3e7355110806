"""Reading and writing messages: what real peers send, what nobody should, and random octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.sip.errors import SipError
from onrecord.sip.headers import Address, CSeq, Headers, Via, split_top_level
from onrecord.sip.hop import Hop
from onrecord.sip.message import MalformedRequest, Request, parse
from onrecord.sip.uri import SipUri

INVITE = (
    b"INVITE sip:1000@192.0.2.2 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKabc\r\n"
    b"Max-Forwards: 70\r\n"
    b"From: <sip:alice@192.0.2.1>;tag=1\r\n"
    b"To: <sip:1000@192.0.2.2>\r\n"
    b"Call-ID: c1\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Contact: <sip:alice@192.0.2.1>\r\n"
    b"Content-Length: 4\r\n"
    b"\r\n"
    b"v=0\n"
)


def changed(old: bytes, new: bytes) -> bytes:
    """Return the INVITE with a part replaced."""
    assert old in INVITE
    return INVITE.replace(old, new)


def test_a_request_survives_reading_and_writing() -> None:
    """Serialising what was parsed gives the same message."""
    request = parse(INVITE)
    assert bytes(parse(bytes(request))) == bytes(request)
    assert request.body == b"v=0\n"


def test_compact_folded_and_lower_case_headers_are_read() -> None:
    """RFC 4475 3.1.1.1: compact names, folding, blanks before the colon, LF line ends."""
    data = (
        b"INVITE sip:1000@192.0.2.2 SIP/2.0\n"
        b"v : SIP / 2.0 / UDP 192.0.2.1 : 5060 ;branch=z9hG4bKabc\n"
        b"f: Alice\n <sip:alice@192.0.2.1>\n\t;tag=1\n"
        b"t: <sip:1000@192.0.2.2>\ni: c1\ncseq: 0001 INVITE\nm: <sip:a@192.0.2.1>\nl: 0\n\n"
    )
    request = parse(data)
    assert request.via.sent_by == "192.0.2.1:5060"
    assert request.from_.tag == "1"
    assert request.from_.display == "Alice"
    assert request.cseq == CSeq(1, "INVITE")


def test_a_quoted_name_cannot_pose_as_the_uri() -> None:
    """Bug row 2: `"a<sip:evil@x>" <sip:good@y>;tag=1` is good@y with the tag 1."""
    address = Address.parse('"a<sip:evil@x.example>\\"" <sip:good@y.example>;tag=1')
    assert str(address.uri) == "sip:good@y.example"
    assert address.tag == "1"
    assert address.display == 'a<sip:evil@x.example>"'
    assert Address.parse(str(address)) == address


def test_commas_in_quotes_and_brackets_do_not_split() -> None:
    """A list splits at top-level commas only."""
    text = '"A, B" <sip:a,b@x.example>, <sip:c@y.example>'
    assert split_top_level(text, ",") == ['"A, B" <sip:a,b@x.example>', "<sip:c@y.example>"]


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia", 505),
        (b"INVITE sip:1000@192.0.2.2 ", b"INVITE <sip:1000@192.0.2.2> ", 400),
        (b"INVITE sip:1000@192.0.2.2 ", b"INVITE http://192.0.2.2/ ", 416),
        (b"INVITE sip:1000@192.0.2.2 ", b"INVITE urn:service:counseling ", 416),
        (b"INVITE sip:1000@192.0.2.2 ", b"INVITE sip:1000@192.0.2.2:99999 ", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 1 BYE", 400),
        (b"CSeq: 1 INVITE", b"CSeq: abc", 400),
        (b"CSeq: 1 INVITE", b"CSeq: 2147483648 INVITE", 400),
        (b"Max-Forwards: 70", b"Max-Forwards: 256", 400),
        (b"Max-Forwards: 70", b"Max-Forwards: -1", 400),
        (b"Content-Length: 4", b"Content-Length: -4", 400),
        (b"Content-Length: 4", b"Content-Length: 40", 400),
        (b"Call-ID: c1", b"Call-ID: c1\r\nCall-ID: c2", 400),
        (b"Contact: <sip:alice@192.0.2.1>", b"Contact: <sip:alice@192.0.2.1", 400),
        (b"Contact: <sip:alice@192.0.2.1>", b"Record-Route: nonsense", 400),
        (b"Contact: ", b"a line without a colon\r\nContact: ", 400),
        (b"Contact: ", b"X: y\r\n" * 300 + b"Contact: ", 513),
        (b"\r\n\r\nv=0\n", b"", 400),
    ],
)
def test_a_faulty_request_gets_a_status(old: bytes, new: bytes, status: int) -> None:
    """Bug rows 11, 13, 17: whatever can be answered is answered, with the right status."""
    with pytest.raises(MalformedRequest) as caught:
        parse(changed(old, new))
    assert caught.value.status == status
    response = bytes(caught.value.request.response(status, to_tag="t"))
    assert response.startswith(b"SIP/2.0 %d " % status)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\x00\x01\x00\x00",
        b"hello",
        INVITE[:30],
        changed(b"5060", b"0"),
        changed(b"SIP/2.0/UDP", b"SIP/2.0/\xff"),
        changed(b"5060", b"99999999"),
        changed(b"Call-ID: c1\r\n", b""),
        INVITE.replace(b"INVITE", b"ACK").replace(b"CSeq: 1", b"CSeq: x"),
        b"SIP/2.0 999 No\r\n" + INVITE.partition(b"\r\n")[2],
        b"SIP/2.0 200 OK\r\n\r\n",
        INVITE + b"x" * 70_000,
    ],
)
def test_what_cannot_be_answered_is_dropped(data: bytes) -> None:
    """Bug row 1: no usable Via, no call id, an ACK, a response, noise: dropped with a reason."""
    with pytest.raises(SipError) as caught:
        parse(data)
    assert caught.value.status is None
    assert caught.value.reason


def test_octets_that_are_not_utf8_are_read() -> None:
    """A Latin-1 display name does not hinder a call."""
    request = parse(changed(b"From: ", b'From: "J\xfcrgen" '))
    assert request.from_.display == "Jürgen"


def test_rport_decides_where_a_response_goes() -> None:
    """RFC 3581 §4: to the source's port with `rport`, otherwise to the Via's port."""
    source = Hop("udp", "203.0.113.7", 41000)
    asked = Via.parse("SIP/2.0/UDP 192.0.2.1:5080;rport;branch=z9hG4bKa")
    silent = Via.parse("SIP/2.0/UDP 192.0.2.1:5080;branch=z9hG4bKa")
    assert asked.response_hop(source) == source
    assert silent.response_hop(source) == Hop("udp", "203.0.113.7", 5080)
    stamped = Via.parse(str(asked.received_from(source)))
    assert dict(stamped.parameters) == {"rport": "41000", "received": "203.0.113.7"}


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("sip:1000@h.example", "1000"),
        ("sip:+44-20.7946(0)123@h.example;user=phone", "+442079460123"),
        ("tel:+44-20-7946-0123;phone-context=x", "+442079460123"),
        ("sip:9%2D112;phone-context=x@h.example", "9112"),
        ("sip:112%3Bphone-context=+44@h.example", "112"),
        ("URN:Service:SOS.police", "urn:service:sos"),
        ("sip:anna.b@h.example", "anna.b"),
        ("sip:h.example", ""),
    ],
)
def test_dialled_number_is_plain(uri: str, number: str) -> None:
    """Visual separators, escapes and user parameters do not hide a number."""
    assert SipUri.parse(uri).number == number


def test_an_emergency_service_can_be_called() -> None:
    """RFC 5031: a request for the service and not for a number."""
    request = parse(changed(b"sip:1000@192.0.2.2 SIP", b"urn:service:sos SIP"))
    assert isinstance(request, Request)
    assert request.uri.is_emergency_service


def test_a_line_break_cannot_be_written_into_a_header() -> None:
    """A value with a line break would start another header: refused."""
    with pytest.raises(SipError):
        Headers().add("Subject", "a\r\nVia: b")


@given(st.binary(max_size=400))
def test_random_octets_give_a_message_or_a_sip_error(data: bytes) -> None:
    """The parser raises one class only."""
    try:
        parse(data)
    except SipError:
        return


@given(st.data())
def test_mutated_requests_give_a_message_or_a_sip_error(data: st.DataObject) -> None:
    """Octets replaced, inserted and cut in a real INVITE: a whole message or one `SipError`."""
    octets = bytearray(INVITE)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(octets)))
        octets[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    assert outcome(bytes(octets))


def outcome(data: bytes) -> bytes:
    """Return the message as written again, the response to a fault, or the reason of a drop."""
    try:
        return bytes(parse(data))
    except MalformedRequest as fault:
        return bytes(fault.request.response(fault.status or 400, to_tag="t"))
    except SipError as fault:
        return fault.reason.encode()
