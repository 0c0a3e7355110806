"""RFC 3262: provisional responses that must arrive, on either side of a call."""

from __future__ import annotations

import random

import pytest
from onrecord.sip.events import Acked, Answered, IncomingInvite, LegId, Rejected, Ringing, TimedOut
from onrecord.sip.message import Request, Response, parse
from unit.sip.network import ANSWER, CALLEE, CALLER, DELAY, OFFER, Network, lose


def ringing(network: Network, body: bytes = ANSWER, *, status: int = 183) -> tuple[LegId, LegId]:
    """Let `a` call and `b` send a provisional response; return the legs."""
    leg = network.invite()
    network.run(0.1)
    (incoming,) = network.of("b", IncomingInvite)
    network.b.ring(incoming.leg, network.now, status=status, body=body)
    return leg, incoming.leg


def requests(network: Network, method: str) -> list[Request]:
    """Every request of a method that was sent."""
    found = [parse(data) for data in network.wire if data.startswith(method.encode())]
    return [message for message in found if isinstance(message, Request)]


def test_early_media_is_acknowledged() -> None:
    """183 with a description: Require and RSeq; PRACK with RAck; 200; heard once."""
    network = Network()
    ringing(network)
    network.run()
    (prack,) = requests(network, "PRACK")
    assert prack.headers.get("RAck") == "1 1 INVITE"
    assert [e.body for e in network.of("a", Ringing)] == [ANSWER]
    assert network.sent(b"SIP/2.0 183") == 1


def test_a_plain_180_needs_no_prack() -> None:
    """What carries no description is sent as ever."""
    network = Network()
    ringing(network, b"", status=180)
    network.run(5)
    assert network.sent(b"PRACK") == 0
    assert network.sent(b"SIP/2.0 180") == 1


@pytest.mark.parametrize("lost", [b"SIP/2.0 183", b"PRACK"])
def test_a_lost_183_or_prack_is_repeated(lost: bytes) -> None:
    """The 183 comes again until its PRACK is there; the owner hears of it once."""
    network = Network(lose(first=2, of=lost))
    ringing(network)
    network.run(10)
    assert len(network.of("a", Ringing)) == 1
    assert network.sent(b"SIP/2.0 183") >= 2
    assert len(network.a._core.layer) + len(network.b._core.layer) > 0


def test_the_answer_waits_for_the_prack() -> None:
    """§3: no 2xx while a description is on its way; then ACK and BYE number on from the PRACK."""
    network = Network(lose(first=2, of=b"PRACK"))
    leg, called = ringing(network)
    network.b.answer(called, ANSWER, network.now)
    network.run(0.3)
    assert network.sent(b"SIP/2.0 200") == 0
    network.run(10)
    assert network.of("a", Answered)
    assert network.of("b", Acked)
    network.a.bye(leg, network.now)
    network.run()
    assert requests(network, "BYE")[0].cseq.number == 3
    assert not network.b._core.legs


@pytest.mark.parametrize("early", [ANSWER, b""])
def test_a_description_that_came_early_need_not_come_again(early: bytes) -> None:
    """RFC 3261 §13.2.1: after an answer in a 183 the 2xx may have none; who hears of it has it."""
    network = Network()
    _, called = ringing(network, early)
    network.run(0.5)
    network.b.answer(called, b"", network.now)
    network.run()
    assert [e.body for e in network.of("a", Answered)] == [early]


def test_a_hang_up_waits_with_the_answer() -> None:
    """The called side answers and hangs up before the PRACK: BYE after 200 and ACK."""
    network = Network(lose(first=2, of=b"PRACK"))
    _, called = ringing(network)
    network.b.answer(called, ANSWER, network.now)
    network.b.bye(called, network.now)
    network.run(20)
    order = [d.split(b" ")[0] for d in network.wire if d.startswith((b"ACK", b"BYE"))]
    assert order == [b"ACK", b"BYE"]
    assert not network.b._core.legs


def test_a_183_that_nobody_acknowledges_fails_the_call() -> None:
    """§3: after 64*T1 the INVITE is refused with a 5xx."""
    network = Network(lose(first=99, of=b"PRACK"))
    _, called = ringing(network)
    network.run(60)
    assert [e.status for e in network.of("a", Rejected)] == [504]
    assert network.of("b", TimedOut) == [TimedOut(called, "prack")]
    assert not network.b._core.legs


def test_a_second_183_waits_for_the_first() -> None:
    """One at a time, the newest of those that wait: RSeq rises by one."""
    network = Network(lose(first=1, of=b"SIP/2.0 183"))
    _, called = ringing(network)
    for status in (180, 181):
        network.b.ring(called, network.now, status=status, body=ANSWER)
    network.run(10)
    assert [e.status for e in network.of("a", Ringing)] == [183, 181]
    assert [p.headers.get("RAck") for p in requests(network, "PRACK")] == [
        "1 1 INVITE",
        "2 1 INVITE",
    ]


def asked(network: Network, *, require: bool, body: bytes = OFFER) -> LegId:
    """Bring `b` an INVITE written by hand that knows or requires 100rel, or neither."""
    network.invite(body)
    invite = parse(network.a.messages_to_send()[0][0])
    invite.headers.override([("Require", "100rel")] if require else [("Supported", "")])
    network.b.receive_message(bytes(invite), CALLER, network.now)
    event = network.b.next_event()
    assert isinstance(event, IncomingInvite)
    network.b.messages_to_send()
    return event.leg


def sent(network: Network) -> list[Response]:
    """What `b` sends now."""
    found = [parse(data) for data, _ in network.b.messages_to_send()]
    return [message for message in found if isinstance(message, Response)]


def test_who_requires_it_gets_every_18x_reliably() -> None:
    """Require: 100rel takes no other kind, also without a description."""
    network = Network()
    leg = asked(network, require=True)
    network.b.ring(leg, network.now)
    (response,) = sent(network)
    assert (response.status, response.headers.get("RSeq")) == (180, "1")


def test_who_requires_it_and_makes_no_offer_gets_no_18x() -> None:
    """§5: ours would have to stand in it; it stands in the answer."""
    network = Network()
    leg = asked(network, require=True, body=b"")
    network.b.ring(leg, network.now)
    assert sent(network) == []


def test_who_does_not_know_it_is_not_troubled() -> None:
    """Early media without Supported: 100rel is sent once and not repeated."""
    network = Network()
    leg = asked(network, require=False)
    network.b.ring(leg, network.now, status=183, body=ANSWER)
    (response,) = sent(network)
    assert response.headers.get("Require") is None
    network.b.handle_timer(network.now + 5)
    assert sent(network) == []


def test_a_prack_for_nothing_is_481() -> None:
    """§3: a wrong RAck changes nothing; the right one is still awaited."""
    network = Network()
    network.fault = lambda data, _n: [DELAY]
    _, called = ringing(network)
    network.run(0.005)
    key = next(iter(network.b._core.legs[called].dialog_keys))
    prack = (
        f"PRACK sip:{CALLEE.host} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {CALLER.host}:{CALLER.port};branch=z9hG4bKwrong\r\n"
        f"From: <sip:a@x>;tag={key[2]}\r\nTo: <sip:b@x>;tag={key[1]}\r\n"
        f"Call-ID: {key[0]}\r\nCSeq: 2 PRACK\r\nRAck: 7 1 INVITE\r\n\r\n"
    )
    network.b.receive_message(prack.encode(), CALLER, network.now)
    network.run()
    assert network.sent(b"SIP/2.0 481") == 1
    assert network.of("a", Ringing)


@pytest.mark.parametrize("seed", range(10))
def test_early_media_on_a_bad_network(seed: int) -> None:
    """A fifth lost, a fifth doubled, order mixed: heard once, answered once, hung up once."""
    rng = random.Random(seed)  # noqa: S311 - a repeatable fault script

    def fault(_data: bytes, _number: int) -> list[float]:
        chance = rng.random()
        return [
            rng.uniform(0.001, 0.3) for _ in range(0 if chance < 0.2 else 2 if chance < 0.4 else 1)
        ]

    def react(who: str, event: object) -> None:
        if who == "b" and isinstance(event, IncomingInvite):
            network.b.ring(event.leg, network.now, status=183, body=ANSWER)
            network.b.answer(event.leg, ANSWER, network.now)

    network = Network(fault)
    network.react = react
    leg = network.invite()
    network.run(30)
    network.a.bye(leg, network.now)
    network.run(80)
    assert len(network.of("a", Answered)) == len(network.of("b", Acked)) == 1
    assert len(network.of("a", Ringing)) <= 1
    assert not network.a._core.legs
    assert not network.b._core.legs
    assert len(network.a._core.layer) == len(network.b._core.layer) == 0
