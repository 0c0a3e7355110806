"""An endpoint against strangers: sanity checks, wrong dialogs, noise; it always answers OPTIONS."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.sip import endpoint as endpoint_module
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import Acked, IncomingInvite
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response, parse
from unit.sip.test_message import INVITE

PEER = Hop("udp", "192.0.2.1", 5060)
HERE = Hop("udp", "192.0.2.2", 5060)


def endpoint(admits: Callable[[Request], bool] | None = None) -> Endpoint:
    """A fresh endpoint with countable tokens."""
    numbers = count()
    return Endpoint(HERE, tokens=lambda: f"t{next(numbers)}", admits=admits)


def request(method: str, branch: str = "z9hG4bKx", *, to_tag: str = "", more: str = "") -> bytes:
    """Write a request by hand."""
    to = f";tag={to_tag}" if to_tag else ""
    return (
        f"{method} sip:192.0.2.2 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch={branch}\r\n"
        f"From: <sip:a@192.0.2.1>;tag=1\r\nTo: <sip:b@192.0.2.2>{to}\r\n"
        f"Call-ID: c9\r\nCSeq: 7 {method}\r\n{more}\r\n"
    ).encode()


def answers(target: Endpoint, data: bytes, source: Hop = PEER) -> list[Response]:
    """Return what the endpoint answers to a datagram."""
    target.receive_message(data, source, 0.0)
    messages = [parse(sent) for sent, _ in target.messages_to_send()]
    return [message for message in messages if isinstance(message, Response)]


def still_answers(target: Endpoint) -> bool:
    """Whether a control OPTIONS is answered 200."""
    control = request("OPTIONS", "z9hG4bKcontrol")
    return [r.status for r in answers(target, control)] == [200]


def test_options_is_answered() -> None:
    """200 with what we allow and take."""
    (response,) = answers(endpoint(), request("OPTIONS"))
    assert response.status == 200
    assert "INVITE" in (response.headers.get("Allow") or "")
    assert response.headers.get("Accept") == "application/sdp"


@pytest.mark.parametrize(
    ("data", "status", "header"),
    [
        (request("INFO"), 481, None),
        (request("UPDATE"), 481, None),
        (request("NOTIFY"), 481, None),
        (request("MESSAGE"), 405, "Allow"),
        (request("REFER"), 405, "Allow"),
        (request("FLY"), 405, "Allow"),
        (request("BYE"), 481, None),
        (request("BYE", to_tag="x"), 481, None),
        (request("INVITE", to_tag="x", more="Contact: <sip:a@192.0.2.1>\r\n"), 481, None),
        (request("CANCEL"), 481, None),
        (request("INVITE"), 400, None),
        (request("INVITE", more="Require: siprec, foo\r\n"), 420, "Unsupported"),
        (request("INVITE", more="Max-Forwards: 0\r\n"), 483, None),
        (request("OPTIONS").replace(b"7 OPTIONS", b"7 BYE"), 400, None),
    ],
)
def test_wrong_requests_are_refused(data: bytes, status: int, header: str | None) -> None:
    """Bug row 11: the right refusal, with the header that it must carry."""
    target = endpoint()
    (response,) = answers(target, data)
    assert response.status == status
    assert header is None or response.headers.get(header)
    assert target.next_event() is None
    assert still_answers(target)


def test_a_merged_invite_is_refused() -> None:
    """§8.2.2.2: the same request by another path is 482, the same again is a retransmission."""
    target = endpoint()
    assert [r.status for r in answers(target, INVITE)] == [100]
    other_path = INVITE.replace(b"z9hG4bKabc", b"z9hG4bKdef")
    assert [r.status for r in answers(target, other_path)] == [482]
    assert [r.status for r in answers(target, INVITE)] == [100]


def test_another_from_tag_is_another_call() -> None:
    """Bug row 11: the same Call-ID with another From tag is a call of its own."""
    target = endpoint()
    answers(target, INVITE)
    other = INVITE.replace(b"z9hG4bKabc", b"z9hG4bKdef").replace(b"tag=1", b"tag=2")
    assert [r.status for r in answers(target, other)] == [100]
    assert isinstance(target.next_event(), IncomingInvite)
    assert isinstance(target.next_event(), IncomingInvite)


def test_rfc_2543_branches_still_match() -> None:
    """§17.2.3: without the magic cookie, Call-ID, From tag and CSeq take part in the match."""
    target = endpoint()
    old = INVITE.replace(b"z9hG4bKabc", b"1")
    assert [r.status for r in answers(target, old)] == [100]
    assert [r.status for r in answers(target, old)] == [100]
    assert isinstance(target.next_event(), IncomingInvite)
    assert target.next_event() is None


def test_out_of_order_cseq_is_refused() -> None:
    """§12.2.2: a request whose CSeq goes backwards gets 500 and ends nothing."""
    target = endpoint()
    answers(target, INVITE.replace(b"CSeq: 1 ", b"CSeq: 9 "))
    incoming = target.next_event()
    assert isinstance(incoming, IncomingInvite)
    target.answer(incoming.leg, b"", 0.0)
    tag = parse(target.messages_to_send()[0][0]).to.tag
    bye = request("BYE", to_tag=tag).replace(b"c9", b"c1")
    assert [r.status for r in answers(target, bye)] == [500]
    assert target.next_event() is None


def test_stray_ack_changes_nothing() -> None:
    """An ACK of an unknown dialog or with another CSeq is passed over."""
    target = endpoint()
    answers(target, INVITE)
    incoming = target.next_event()
    assert isinstance(incoming, IncomingInvite)
    target.answer(incoming.leg, b"", 0.0)
    tag = parse(target.messages_to_send()[0][0]).to.tag
    ack = request("ACK", to_tag=tag).replace(b"c9", b"c1")
    assert answers(target, ack) == []
    assert target.next_event() is None
    assert answers(target, ack.replace(b"CSeq: 7", b"CSeq: 1")) == []
    assert isinstance(target.next_event(), Acked)


def test_a_call_that_is_not_admitted_leaves_nothing() -> None:
    """503 with Retry-After and no 100, so that a repeat is answered too; the ACK is passed over."""
    target = endpoint(lambda _request: False)
    for _ in range(3):
        (response,) = answers(target, INVITE)
        assert (response.status, response.headers.get("Retry-After")) == (503, "10")
    assert answers(target, INVITE.replace(b"INVITE", b"ACK")) == []
    assert len(target._core.layer) == 0
    assert target.next_event() is None
    assert target.next_timer() is None
    assert still_answers(target)


def test_a_crowd_does_not_reach_running_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all transactions taken a BYE of a call is served, a stranger's request is not."""
    target = endpoint()
    answers(target, INVITE)
    incoming = target.next_event()
    assert isinstance(incoming, IncomingInvite)
    target.answer(incoming.leg, b"", 0.0)
    tag = parse(target.messages_to_send()[0][0]).to.tag
    monkeypatch.setattr(endpoint_module, "MAX_TRANSACTIONS", 1)
    assert [r.status for r in answers(target, request("OPTIONS"))] == [503]
    other = INVITE.replace(b"z9hG4bKabc", b"z9hG4bKdef").replace(b"Call-ID: c", b"Call-ID: d")
    assert [r.status for r in answers(target, other)] == [503]
    bye = request("BYE", to_tag=tag).replace(b"c9", b"c1")
    assert [r.status for r in answers(target, bye)] == [200]


def test_a_source_at_port_zero_is_ignored() -> None:
    """Nobody can be answered at port 0."""
    assert answers(endpoint(), request("OPTIONS"), Hop("udp", "192.0.2.1", 0)) == []


def test_dropped_messages_are_counted_by_reason() -> None:
    """What is not answered is counted under a closed reason."""
    target = endpoint()
    target.receive_message(b"\x00\x01\x00\x00", PEER, 0.0)
    target.receive_message(b"SIP/2.0 200 OK\r\n" + request("BYE").partition(b"\r\n")[2], PEER, 0.0)
    assert target.dropped == {"not_sip": 1, "unmatched_response": 1}


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_noise_does_not_deafen(noise: list[bytes]) -> None:
    """After any octets a control OPTIONS is answered, and all addresses can be sent to."""
    target = endpoint()
    for data in noise:
        target.receive_message(data, PEER, 0.0)
    assert all(1 <= hop.port <= 65535 for _, hop in target.messages_to_send())
    assert still_answers(target)


@given(st.data())
def test_mutated_invites_do_not_deafen(data: st.DataObject) -> None:
    """Bug row 1: broken INVITEs leave an endpoint that answers, rings, refuses and times out."""
    target = endpoint()
    octets = bytearray(INVITE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets)))
        octets[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    target.receive_message(bytes(octets), PEER, 0.0)
    while (event := target.next_event()) is not None:
        if isinstance(event, IncomingInvite):
            target.ring(event.leg, 0.0)
            target.answer(event.leg, b"v=0", 0.0)
    target.handle_timer(100.0)
    assert all(1 <= hop.port <= 65535 for _, hop in target.messages_to_send())
    assert still_answers(target)


def test_a_draining_endpoint_says_so() -> None:
    """OPTIONS is answered 503, so that peers send new calls elsewhere; calls that run go on."""
    target = endpoint()
    target.is_draining = True
    (response,) = answers(target, request("OPTIONS"))
    assert response.status == 503
    assert response.headers.get("Retry-After")
    (response,) = answers(target, request("BYE", to_tag="x"))
    assert response.status == 481
