"""Whole calls between two endpoints: set-up, hang-up, refusal, cancellation, each race by name."""

from __future__ import annotations

import random

import pytest
from onrecord.sip.events import (
    Acked,
    Answered,
    Bye,
    Cancelled,
    Ended,
    Event,
    IncomingInvite,
    LegId,
    ReinviteAnswered,
    Reinvited,
    ReinviteRejected,
    Rejected,
    Ringing,
    TimedOut,
)
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response, parse
from unit.sip.network import ANSWER, CALLEE, CALLER, DELAY, OFFER, Network, lose


def answering(network: Network, *, ring: bool = True) -> None:
    """Make `b` ring and answer every call."""

    def react(who: str, event: Event) -> None:
        if who == "b" and isinstance(event, IncomingInvite):
            if ring:
                network.b.ring(event.leg, network.now)
            network.b.answer(event.leg, ANSWER, network.now)

    network.react = react


def established(network: Network) -> tuple[LegId, LegId]:
    """Set a call up; return the legs of `a` and `b`."""
    answering(network)
    leg = network.invite()
    network.run()
    (incoming,) = network.of("b", IncomingInvite)
    return leg, incoming.leg


def test_call_is_set_up_and_hung_up_by_the_caller() -> None:
    """INVITE, 100, 180, 200, ACK, BYE, 200: each once, and nothing is left behind."""
    network = Network()
    leg, _ = established(network)
    network.a.bye(leg, network.now)
    network.run(40)
    assert [type(e) for e in network.events["a"]] == [Ringing, Answered, Ended]
    assert [type(e) for e in network.events["b"]] == [IncomingInvite, Acked, Bye]
    assert [d.split(b"\r\n")[0].split(b" ")[0:2] for d in network.wire] == [
        [b"INVITE", b"sip:1000@192.0.2.2:5070"],
        [b"SIP/2.0", b"100"],
        [b"SIP/2.0", b"180"],
        [b"SIP/2.0", b"200"],
        [b"ACK", b"sip:192.0.2.2:5070"],
        [b"BYE", b"sip:192.0.2.2:5070"],
        [b"SIP/2.0", b"200"],
    ]
    assert not network.a._core.legs
    assert not network.b._core.dialogs
    assert len(network.a._core.layer) == len(network.b._core.layer) == 0


def test_callee_hangs_up() -> None:
    """A BYE of the called side ends the caller's leg."""
    network = Network()
    _, called = established(network)
    network.b.bye(called, network.now)
    network.run()
    assert network.of("a", Bye)
    assert network.of("b", Ended)


def test_bodies_travel() -> None:
    """Offer and answer arrive as they were sent."""
    network = Network()
    established(network)
    assert network.of("b", IncomingInvite)[0].request.body == OFFER
    assert network.of("a", Answered)[0].body == ANSWER


def test_delayed_offer_is_acknowledged_by_the_owner() -> None:
    """Without an offer in the INVITE the ACK waits for the owner's answer and carries it."""
    network = Network()
    answering(network)
    leg = network.invite(b"")
    network.run(2)
    assert not network.of("b", Acked)
    network.a.acknowledge(leg, ANSWER, network.now)
    network.run()
    (acked,) = network.of("b", Acked)
    assert acked.body == ANSWER


@pytest.mark.parametrize("status", [404, 486, 503, 603])
def test_refusal_is_acknowledged_and_reported(status: int) -> None:
    """Bug row 8: a failure is ACKed by the transaction, in the INVITE's own branch."""
    network = Network()
    leg = network.invite()
    network.run()
    (incoming,) = network.of("b", IncomingInvite)
    network.b.reject(incoming.leg, status, network.now)
    network.run(40)
    assert network.events["a"] == [Rejected(leg, status, network.events["a"][0].reason)]
    invite, ack = parse(network.wire[0]), parse(network.wire[-1])
    assert isinstance(ack, Request)
    assert ack.method == "ACK"
    assert invite.via.branch == ack.via.branch


def test_lost_refusal_is_retransmitted_until_acked() -> None:
    """Bug row 5: a failure to an INVITE is sent again (timer G) until its ACK comes."""
    network = Network(lose(first=3, of=b"SIP/2.0 486"))
    network.invite()
    network.run()
    network.b.reject(network.of("b", IncomingInvite)[0].leg, 486, network.now)
    network.run(10)
    assert network.sent(b"SIP/2.0 486") == 4
    assert network.of("a", Rejected)


def test_invite_retransmitted_while_ringing_is_one_call() -> None:
    """Bug row 3: the same INVITE again, while it rings, gets the 180 again and no second call."""
    network = Network()
    network.invite()
    network.run()
    network.b.ring(network.of("b", IncomingInvite)[0].leg, network.now)
    network.run()
    network.b.receive_message(network.wire[0], CALLER, network.now)
    network.run()
    assert len(network.of("b", IncomingInvite)) == 1
    ringing = [d for d in network.wire if d.startswith(b"SIP/2.0 180")]
    assert len(ringing) == 2
    assert ringing[0] == ringing[1]


def test_requests_retransmitted_after_their_answer_get_it_again() -> None:
    """Bug row 4: INVITE after 200, and BYE after 200, are not answered 481."""
    network = Network()
    leg, _ = established(network)
    network.b.receive_message(network.wire[0], CALLER, network.now)
    network.a.bye(leg, network.now)
    network.run()
    bye = next(d for d in network.wire if d.startswith(b"BYE"))
    network.b.receive_message(bye, CALLER, network.now)
    network.run()
    assert network.sent(b"SIP/2.0 481") == 0
    assert len(network.of("b", Bye)) == 1
    assert len(network.of("b", IncomingInvite)) == 1


def test_later_requests_follow_contact_and_record_route() -> None:
    """Bug row 6: ACK and BYE go to the 2xx's Contact by its Record-Route, last one first."""
    network = Network()
    leg = network.invite()
    request = network.a.messages_to_send()[0][0]
    response = parse(request).response(200, to_tag="x")
    response.headers.add("Contact", "<sip:agent@198.51.100.9:5099>")
    response.headers.add("Record-Route", "<sip:198.51.100.2;lr>, <sip:198.51.100.1:5062;lr>")
    network.a.receive_message(bytes(response), CALLEE, 0.1)
    network.a.bye(leg, 0.2)
    (ack, ack_to), (bye, bye_to) = network.a.messages_to_send()
    assert ack_to == bye_to == Hop("udp", "198.51.100.1", 5062)
    for data in (ack, bye):
        message = parse(data)
        assert isinstance(message, Request)
        assert str(message.uri) == "sip:agent@198.51.100.9:5099"
        assert message.headers.values("Route") == [
            "<sip:198.51.100.1:5062;lr>",
            "<sip:198.51.100.2;lr>",
        ]


def test_invite_is_retransmitted_and_given_up() -> None:
    """Bug row 7: timer A sends the INVITE seven times, timer B ends it after 32 s."""
    network = Network(lose(first=99, of=b"INVITE"))
    leg = network.invite()
    network.run(31.9)
    assert not network.events["a"]
    network.run(1)
    assert network.events["a"] == [TimedOut(leg, "response")]
    assert network.sent(b"INVITE") == 7


def test_ringing_call_does_not_time_out() -> None:
    """Timer B belongs to an INVITE without any response: a phone may ring for minutes."""
    network = Network()
    network.invite()
    network.run(300)
    assert not network.of("a", TimedOut)


def test_a_silent_far_side_is_given_up_early() -> None:
    """`silence`: whoever says nothing at all in time is left; what answers later is hung up."""
    network = Network(lambda data, _n: [10.0 if data.startswith(b"INVITE") else DELAY])
    answering(network)
    leg = network.invite(silence=4.0)
    network.run(5)
    assert network.events["a"] == [TimedOut(leg, "response")]
    network.run(60)
    assert network.events["a"] == [TimedOut(leg, "response")]
    assert network.of("b", Bye)
    assert not network.b._core.legs


def test_a_far_side_that_rings_is_not_silent() -> None:
    """A phone may ring for minutes; one that rings after it was given up is cancelled."""
    network = Network()
    leg = network.invite(silence=4.0)
    network.run(60)
    assert not network.of("a", TimedOut)
    network.a.cancel(leg, network.now)
    network.run()
    late = Network(lambda data, _n: [10.0 if data.startswith(b"INVITE") else DELAY])
    late.invite(silence=4.0)
    late.run(60)
    assert late.of("b", Cancelled)
    assert not late.b._core.legs


def test_cancel_ends_an_unanswered_call() -> None:
    """Bug row 9: 200 to the CANCEL, 487 to the INVITE, and the 487 is ACKed."""
    network = Network()
    leg = network.invite()
    network.run()
    network.a.cancel(leg, network.now)
    network.run()
    assert [type(e) for e in network.events["a"]] == [Rejected]
    assert network.events["a"][0].status == 487
    assert network.of("b", Cancelled)
    assert network.wire[-1].startswith(b"ACK")


def test_cancel_waits_for_a_first_response() -> None:
    """RFC 3261 §9.1: no CANCEL before a provisional response, so it cannot overtake its INVITE."""
    network = Network(lose(first=1, of=b"INVITE"))
    leg = network.invite()
    network.a.cancel(leg, network.now)
    network.run(0.4)
    assert network.sent(b"CANCEL") == 0
    network.run(2)
    assert network.sent(b"CANCEL") == 1
    assert network.of("b", Cancelled)


def test_answer_that_crosses_a_cancel_is_hung_up() -> None:
    """Bug row 9: the 200 crosses our CANCEL: it is ACKed and BYEd, so no side talks alone."""
    network = Network()
    leg = network.invite()
    network.run()
    network.a.cancel(leg, network.now)
    network.b.answer(network.of("b", IncomingInvite)[0].leg, ANSWER, network.now)
    network.run()
    assert [type(e) for e in network.events["a"]] == [Ended]
    assert network.of("b", Acked)
    assert network.of("b", Bye)
    assert not network.of("b", Cancelled)


def test_cancel_without_a_final_response_is_given_up() -> None:
    """RFC 3261 §9.1: 64*T1 after a CANCEL the call counts as gone."""
    network = Network(lose(first=99, of=b"CANCEL"))
    leg = network.invite()
    network.run()
    network.a.cancel(leg, network.now)
    network.run(40)
    assert network.events["a"] == [TimedOut(leg, "response")]
    assert len(network.a._core.layer) == 0


def test_second_forked_answer_is_hung_up() -> None:
    """Bug row 10: a 2xx with another tag is ACKed in its own dialog and gets a BYE, once."""
    network = Network()
    leg = network.invite()
    invite = parse(network.a.messages_to_send()[0][0])
    for tag in ("one", "two", "two"):
        response = invite.response(200, to_tag=tag)
        response.headers.add("Contact", f"<sip:{tag}@198.51.100.9>")
        network.a.receive_message(bytes(response), CALLEE, 0.1)
    sent = [parse(data) for data, _ in network.a.messages_to_send()]
    assert [(m.method, m.to.tag) for m in sent] == [
        ("ACK", "one"),
        ("ACK", "two"),
        ("BYE", "two"),
        ("ACK", "two"),
    ]
    assert network.a.next_event() == Answered(leg, b"")
    assert network.a.next_event() is None


def test_lost_ack_is_sent_again() -> None:
    """§13.3.1.4: the 200 is retransmitted until its ACK comes, and each one is ACKed."""
    network = Network(lose(first=2, of=b"ACK"))
    established(network)
    network.run(5)
    assert network.sent(b"SIP/2.0 200") == 3
    assert len(network.of("b", Acked)) == 1
    assert len(network.of("a", Answered)) == 1


def test_answer_that_nobody_acknowledges_is_hung_up() -> None:
    """§13.3.1.4: after 64*T1 without an ACK the called side sends BYE."""
    network = Network(lose(first=99, of=b"ACK"))
    established(network)
    network.run(40)
    assert [type(e) for e in network.events["b"]][1:] == [TimedOut, Ended]
    assert network.of("a", Bye)


def test_callee_hangs_up_before_the_ack() -> None:
    """§15: the called side's BYE waits for the ACK of its 200."""
    network = Network(lose(first=1, of=b"ACK"))
    answering(network)
    network.invite()
    network.run(0.1)
    network.b.bye(network.of("b", IncomingInvite)[0].leg, network.now)
    assert network.sent(b"BYE") == 0
    network.run()
    assert network.of("a", Bye)
    assert network.of("b", Ended)


def test_bye_that_overtakes_the_answer_ends_the_call() -> None:
    """Reordering: the BYE comes before the 200; the 200 is still ACKed, nobody is left talking."""
    network = Network()

    def fault(data: bytes, _number: int) -> list[float]:
        late = data.startswith(b"SIP/2.0 200") and b"1 INVITE" in data
        return [0.3 if late else DELAY]

    network.fault = fault
    established_leg = network.invite()
    network.run()
    called = network.of("b", IncomingInvite)[0].leg
    network.b.ring(called, network.now)
    network.b.answer(called, ANSWER, network.now)
    network.run(0.1)
    invite = parse(network.wire[0])
    tag = parse(next(d for d in network.wire if d.startswith(b"SIP/2.0 180"))).to.tag
    bye = (
        f"BYE sip:{CALLER.sent_by} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {CALLEE.sent_by};branch=z9hG4bKx\r\n"
        f"From: {invite.to};tag={tag}\r\nTo: {invite.from_}\r\n"
        f"Call-ID: {invite.call_id}\r\nCSeq: 1 BYE\r\n\r\n"
    )
    network.a.receive_message(bye.encode(), CALLEE, network.now)
    network.run()
    assert [type(e) for e in network.events["a"]] == [Ringing, Bye]
    assert network.sent(b"ACK") == 1
    assert established_leg not in network.a._core.legs


def test_both_sides_hang_up_at_once() -> None:
    """Crossing BYEs: both are answered 200 and both legs end."""
    network = Network()
    leg, called = established(network)
    network.a.bye(leg, network.now)
    network.b.bye(called, network.now)
    network.run(5)
    assert len(network.of("a", Ended)) == 1
    assert len(network.of("b", Ended)) == 1
    assert network.sent(b"SIP/2.0 481") == 0


def test_reinvite_is_offered_and_accepted() -> None:
    """A re-INVITE changes the session and gets an ACK."""
    network = Network()
    leg, called = established(network)
    network.a.reinvite(leg, OFFER, network.now)
    network.run()
    assert [(e.leg, e.body) for e in network.of("b", Reinvited)] == [(called, OFFER)]
    network.b.answer(called, ANSWER, network.now)
    network.run()
    assert network.of("a", ReinviteAnswered) == [ReinviteAnswered(leg, ANSWER)]
    assert len(network.of("b", Acked)) == 2


def test_refused_reinvite_leaves_the_call() -> None:
    """Bug row 10: a re-INVITE answered 488 or 491 ends nothing."""
    network = Network()
    leg, called = established(network)
    network.b.reinvite(called, OFFER, network.now)
    network.run()
    network.a.reject(leg, 488, network.now)
    network.run()
    assert network.of("b", ReinviteRejected)[0].status == 488
    network.b.bye(called, network.now)
    network.run()
    assert network.of("a", Bye)


def test_crossing_reinvites_are_refused_with_491() -> None:
    """§14.2 glare: each side refuses the other's while its own is open."""
    network = Network()
    leg, called = established(network)
    network.a.reinvite(leg, OFFER, network.now)
    network.b.reinvite(called, OFFER, network.now)
    network.run()
    assert network.of("a", ReinviteRejected)[0].status == 491
    assert network.of("b", ReinviteRejected)[0].status == 491


@pytest.mark.parametrize("seed", range(20))
def test_bad_network_loses_no_call(seed: int) -> None:
    """A fifth of all datagrams lost, a fifth doubled, order mixed: set up once, hung up once."""
    rng = random.Random(seed)  # noqa: S311 - a repeatable fault script

    def fault(_data: bytes, _number: int) -> list[float]:
        chance = rng.random()
        copies = 0 if chance < 0.2 else 2 if chance < 0.4 else 1
        return [rng.uniform(0.001, 0.3) for _ in range(copies)]

    network = Network(fault)
    answering(network)
    leg = network.invite()
    network.run(20)
    network.a.bye(leg, network.now)
    network.run(80)
    assert len(network.of("a", Answered)) == 1
    assert len(network.of("b", IncomingInvite)) == 1
    assert len(network.of("b", Acked)) == 1
    assert len(network.of("a", Ended)) == 1
    assert len(network.a._core.layer) == len(network.b._core.layer) == 0


def test_responses_carry_what_must_be_copied() -> None:
    """§8.2.6.2 and §12.1.1: Via, From, Call-ID, CSeq and Record-Route come back as sent."""
    network = Network()
    leg = network.invite()
    request = network.a.messages_to_send()[0][0].decode()
    request = request.replace("From:", "Record-Route: <sip:203.0.113.1;lr>\r\nFrom:", 1)
    network.b.receive_message(request.encode(), CALLER, 0.0)
    incoming = network.b.next_event()
    assert isinstance(incoming, IncomingInvite)
    network.b.answer(incoming.leg, ANSWER, 0.0)
    response = parse(network.b.messages_to_send()[-1][0])
    assert isinstance(response, Response)
    assert response.headers.values("Record-Route") == ["<sip:203.0.113.1;lr>"]
    assert response.contact is not None
    assert response.to.tag
    assert leg
