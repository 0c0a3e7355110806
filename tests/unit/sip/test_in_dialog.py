"""Requests inside a dialog: UPDATE, and what only the owner can answer; loops of our own calls."""

from __future__ import annotations

import pytest
from onrecord.sip.asked import MAX_WAITING, Reply
from onrecord.sip.events import (
    Acked,
    Bye,
    IncomingInvite,
    ReinviteAnswered,
    Reinvited,
    ReinviteRejected,
    Requested,
    Responded,
)
from onrecord.sip.message import Request, Response, parse
from unit.sip.network import ANSWER, CALLEE, CALLER, OFFER, Network, lose
from unit.sip.test_calls import established

DIGIT = (("Content-Type", "application/dtmf-relay"),)


def in_dialog(network: Network, method: str, more: str = "", body: bytes = b"") -> Response:
    """Let `a` send a request by hand inside the call; return the final answer."""
    confirmed = next(iter(network.b._core.dialogs))
    call_id, b_tag, a_tag = confirmed
    cseq = 1 + len(network.wire)
    head = (
        f"{method} sip:b@{CALLEE.sent_by} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {CALLER.sent_by};rport;branch=z9hG4bKhand{cseq}\r\n"
        f"From: <sip:a@x>;tag={a_tag}\r\nTo: <sip:b@x>;tag={b_tag}\r\nCall-ID: {call_id}\r\n"
        f"CSeq: {cseq} {method}\r\nContact: <sip:moved@{CALLER.sent_by}>\r\n"
        f"{more}Content-Length: {len(body)}\r\n\r\n"
    )
    network.b.receive_message(head.encode() + body, CALLER, network.now)
    network.run()
    found = [parse(data) for data in network.wire if f"hand{cseq}".encode() in data]
    return [m for m in found if isinstance(m, Response) and m.status >= 200][-1]


@pytest.mark.parametrize("method", ["INFO", "MESSAGE", "NOTIFY", "REFER"])
def test_the_owner_answers_what_changes_no_session(method: str) -> None:
    """The request arrives whole, and its answer comes back whole; the call goes on."""
    network = Network()
    leg, called = established(network)
    headers = (*DIGIT, ("Event", "refer"))
    asked = network.a.ask(leg, method, network.now, headers=headers, body=b"Signal=5\r\n")
    network.run()
    (requested,) = network.of("b", Requested)
    assert requested.leg == called
    assert (requested.request.method, requested.request.body) == (method, b"Signal=5\r\n")
    assert requested.request.content_type == "application/dtmf-relay"
    network.b.respond(called, requested.id, Reply(202, "Taken", DIGIT, b"ok"), network.now)
    network.b.respond(called, requested.id, Reply(500), network.now)
    network.run()
    (responded,) = network.of("a", Responded)
    assert (responded.id, responded.status, responded.reason) == (asked, 202, "Taken")
    assert responded.response is not None
    assert responded.response.body == b"ok"
    assert network.a.dialog(leg)
    assert network.b.dialog(called)


def test_a_request_that_nobody_answers_is_408() -> None:
    """Timer F: the owner hears of it, and the call goes on."""
    network = Network(lose(first=99, of=b"INFO"))
    leg, _ = established(network)
    network.a.ask(leg, "INFO", network.now)
    network.run(40)
    assert [r.status for r in network.of("a", Responded)] == [408]
    assert network.a.dialog(leg)


def test_requests_that_wait_are_bounded() -> None:
    """Either way: ours are given up at once, theirs are answered 500 with Retry-After."""
    network = Network()
    leg, _ = established(network)
    for _ in range(MAX_WAITING + 1):
        network.a.ask(leg, "INFO", network.now)
    network.run()
    assert len(network.of("b", Requested)) == MAX_WAITING
    assert [r.status for r in network.of("a", Responded)] == [500]
    answer = in_dialog(network, "INFO")
    assert (answer.status, answer.headers.get("Retry-After")) == (500, "1")


def test_nothing_is_asked_on_a_leg_that_is_over() -> None:
    """It races with the hang-up by nature."""
    network = Network()
    leg, _ = established(network)
    network.a.bye(leg, network.now)
    assert network.a.ask(leg, "INFO", network.now) is None
    network.run()
    assert network.a.ask(leg, "INFO", network.now) is None


@pytest.mark.parametrize(
    ("method", "more", "status", "header", "value"),
    [
        ("FLY", "", 405, "Allow", "UPDATE"),
        ("SUBSCRIBE", "Event: presence\r\n", 405, "Allow", "NOTIFY"),
        ("NOTIFY", "Event: presence\r\n", 489, "Allow-Events", "refer"),
        ("NOTIFY", "", 489, "Allow-Events", "refer"),
        ("INFO", "Require: x\r\n", 420, "Unsupported", "x"),
        ("OPTIONS", "", 200, "Allow", "REFER"),
        ("OPTIONS", "", 200, "Accept", "application/sdp"),
    ],
)
def test_what_we_do_not_know_is_refused_inside_a_call(
    method: str, more: str, status: int, header: str, value: str
) -> None:
    """With the header that names what we do know; the call goes on."""
    network = Network()
    _, called = established(network)
    answer = in_dialog(network, method, more)
    assert answer.status == status
    assert value in (answer.headers.get(header) or "")
    assert not network.of("b", Requested)
    assert network.b.dialog(called)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_an_offer_of_another_type_is_415(method: str) -> None:
    """§8.2.3: the answer names what we accept."""
    network = Network()
    established(network)
    answer = in_dialog(network, method, "Content-Type: text/html\r\n", b"<p>")
    assert (answer.status, answer.headers.get("Accept")) == (415, "application/sdp")
    assert not network.of("b", Reinvited)


def test_an_update_refreshes_the_target_and_nothing_else() -> None:
    """RFC 3311 §5.2: without an offer it is answered at once and the owner need not know."""
    network = Network()
    _, called = established(network)
    answer = in_dialog(network, "UPDATE")
    assert answer.status == 200
    assert answer.contact is not None
    assert not network.of("b", Reinvited)
    network.b.bye(called, network.now)
    bye = parse(next(data for data, _ in network.b.messages_to_send()))
    assert isinstance(bye, Request)
    assert bye.uri.user == "moved"


def test_an_offer_by_update_is_answered_like_a_reinvite() -> None:
    """`answer` gives 200 with the description, `reject` leaves the session as it was."""
    network = Network()
    _, called = established(network)

    def react(_who: str, event: object) -> None:
        if isinstance(event, Reinvited):
            assert event.request.method == "UPDATE"
            network.b.answer(called, ANSWER, network.now)

    network.react = react
    answer = in_dialog(network, "UPDATE", "Content-Type: application/sdp\r\n", OFFER)
    assert (answer.status, answer.body) == (200, ANSWER)
    network.react = lambda _who, _event: network.b.reject(called, 488, network.now)
    answer = in_dialog(network, "UPDATE", "Content-Type: application/sdp\r\n", OFFER)
    assert answer.status == 488


def test_an_update_against_an_open_offer_is_refused() -> None:
    """RFC 3311 §5.2: 491 while our offer is open, 500 with Retry-After while theirs is."""
    network = Network()
    leg, called = established(network)
    network.a.reinvite(leg, OFFER, network.now)
    network.run()
    offer = "Content-Type: application/sdp\r\n", OFFER
    answer = in_dialog(network, "UPDATE", *offer)
    assert (answer.status, answer.headers.get("Retry-After")) == (500, "1")
    network.b.reject(called, 488, network.now)
    network.run()
    network.b.reinvite(called, OFFER, network.now)
    network.run()
    assert in_dialog(network, "UPDATE", *offer).status == 491
    network.a.answer(leg, ANSWER, network.now)
    network.run()
    assert network.of("b", ReinviteAnswered)
    assert not network.of("b", ReinviteRejected)


def test_an_invite_of_ours_that_comes_back_is_a_loop() -> None:
    """§16.3: the same number by a proxy that sends it back is 482, another number is a call."""
    network = Network()
    network.invite()
    invite = network.a.messages_to_send()[0][0].decode()
    proxied = invite.replace("Via:", "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKp\r\nVia:", 1)
    network.a.receive_message(proxied.encode(), CALLEE, network.now)
    assert network.a.messages_to_send()[0][0].startswith(b"SIP/2.0 482")
    spiral = proxied.replace("sip:1000@", "sip:2000@", 1).replace("z9hG4bKp", "z9hG4bKq")
    spiral = spiral.replace("1 INVITE", "2 INVITE")
    network.a.receive_message(spiral.encode(), CALLEE, network.now)
    assert isinstance(network.a.next_event(), IncomingInvite)


def test_a_reinvite_without_an_offer_is_acknowledged_by_the_owner() -> None:
    """The offer comes in the 2xx, which is repeated until the owner's answer goes out by ACK."""
    network = Network()
    leg, called = established(network)
    network.a.reinvite(leg, b"", network.now)
    network.run()
    assert [e.body for e in network.of("b", Reinvited)] == [b""]
    network.b.answer(called, OFFER, network.now)
    network.run(2)
    assert [e.body for e in network.of("a", ReinviteAnswered)] == [OFFER]
    assert len(network.of("b", Acked)) == 1
    network.a.acknowledge(leg, ANSWER, network.now)
    network.run(10)
    assert [e.body for e in network.of("b", Acked)] == [b"", ANSWER]
    network.a.reinvite(leg, OFFER, network.now)
    network.run()
    assert len(network.of("b", Reinvited)) == 2


def test_a_hang_up_leaves_no_offer_without_ack() -> None:
    """Who hangs up instead of answering an offer acknowledges it first, so nothing repeats."""
    network = Network()
    leg, called = established(network)
    network.a.reinvite(leg, b"", network.now)
    network.run()
    network.b.answer(called, OFFER, network.now)
    network.run()
    network.a.bye(leg, network.now)
    network.run(40)
    assert network.of("b", Bye)
    assert len(network.a._core.layer) == len(network.b._core.layer) == 0
