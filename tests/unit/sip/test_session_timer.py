"""RFC 4028: sessions are refreshed by whoever agreed to, and end when nobody does."""

from __future__ import annotations

import pytest
from onrecord.sip.capabilities import Capabilities
from onrecord.sip.events import (
    Acked,
    Answered,
    Bye,
    Event,
    IncomingInvite,
    ReinviteAnswered,
    Reinvited,
    TimedOut,
)
from onrecord.sip.message import Request, Response, parse
from onrecord.sip.session_timer import SessionPolicy
from unit.sip.network import ANSWER, CALLER, OFFER, Network
from unit.sip.test_calls import established

HOURS = 3 * 3600.0


def sent(network: Network, start: bytes) -> list[Request | Response]:
    """Every message on the wire that begins like this."""
    return [parse(data) for data in network.wire if data.startswith(start)]


def rewriting(network: Network, old: bytes, new: bytes) -> None:
    """Let the network change what it carries, for a far side that can less."""
    receive_a, receive_b = network.a.receive_message, network.b.receive_message
    network.a.receive_message = lambda data, *rest: receive_a(data.replace(old, new), *rest)  # type: ignore[method-assign]
    network.b.receive_message = lambda data, *rest: receive_b(data.replace(old, new), *rest)  # type: ignore[method-assign]


def test_a_session_is_refreshed_and_nobody_notices() -> None:
    """The caller refreshes by UPDATE at half time, for hours; no owner hears of it."""
    network = Network()
    leg, called = established(network)
    (answer,) = sent(network, b"SIP/2.0 200")
    assert answer.headers.get("Session-Expires") == "1800;refresher=uac"
    assert answer.headers.get("Require") == "timer"
    before = {who: len(events) for who, events in network.events.items()}
    network.run(HOURS)
    assert len(sent(network, b"UPDATE")) == HOURS // 900
    assert {who: len(events) for who, events in network.events.items()} == before
    assert network.a.dialog(leg)
    assert network.b.dialog(called)


def test_a_far_side_without_update_is_refreshed_by_reinvite() -> None:
    """With the description that it knows; its answer is no news."""
    network = Network()
    rewriting(network, b"UPDATE, ", b"")
    leg, called = established(network)

    def react(who: str, event: Event) -> None:
        if isinstance(event, Reinvited):
            network.b.answer(called, ANSWER, network.now)

    network.react = react
    network.run(2000)
    assert [e.body for e in network.of("b", Reinvited)] == [OFFER] * 2
    assert not network.of("a", ReinviteAnswered)
    assert len(network.of("b", Acked)) == 3
    assert network.a.dialog(leg)


@pytest.mark.parametrize("refresher", ["uac", "uas"])
def test_a_session_that_nobody_refreshes_is_over(refresher: str) -> None:
    """The line is cut: both sides give up, hang up, and leave nothing behind."""
    network = Network()
    network.invite()
    invite = network.a.messages_to_send()[0][0]
    asked = b"Session-Expires: 1800;refresher=" + refresher.encode()
    network.b.receive_message(invite.replace(b"Session-Expires: 1800", asked), CALLER, network.now)
    network.react = lambda who, event: (
        network.b.answer(event.leg, ANSWER, network.now)
        if isinstance(event, IncomingInvite)
        else None
    )
    network.run()
    assert network.of("a", Answered)
    network.fault = lambda _data, _number: []
    network.run(1700)
    assert len(network.of("a", TimedOut)) + len(network.of("b", TimedOut)) == 1
    network.run(200)
    for who in ("a", "b"):
        assert [e.waiting_for for e in network.of(who, TimedOut)] == ["refresh"]
    assert not network.a._core.legs
    assert not network.b._core.legs


def test_the_called_side_refreshes_where_it_was_asked_to() -> None:
    """refresher=uas, or a caller that knows no timers behind a proxy that does."""
    network = Network()
    rewriting(network, b"Session-Expires: 1800\r\n", b"Session-Expires: 1800;refresher=uas\r\n")
    leg, _ = established(network)
    network.run(2000)
    updates = sent(network, b"UPDATE")
    assert len(updates) == 2
    assert all(update.from_.tag == network.a.dialog(leg).remote.tag for update in updates)


def test_a_shorter_session_than_we_accept_is_422() -> None:
    """§5: with Min-SE; the call is made again with what was asked for, once, as one call."""
    patient = Capabilities(session=SessionPolicy(expires=7200, shortest=3600))
    network = Network(b_can=patient)
    established(network)
    (refusal,) = sent(network, b"SIP/2.0 422")
    assert refusal.headers.get("Min-SE") == "3600"
    assert len(network.of("b", IncomingInvite)) == len(network.of("a", Answered)) == 1
    (answer,) = sent(network, b"SIP/2.0 200")
    assert answer.headers.get("Session-Expires") == "3600;refresher=uac"
    network.run(1700)
    assert not sent(network, b"UPDATE")
    network.run(200)
    assert len(sent(network, b"UPDATE")) == 1


def test_who_knows_no_timers_is_left_alone() -> None:
    """Neither asked for nor supported: no word of it, and a call may last for ever."""
    network = Network()
    rewriting(network, b"timer", b"other")
    rewriting(network, b"Session-Expires", b"X-Session-Expires")
    leg, called = established(network)
    network.run(HOURS)
    assert network.a.dialog(leg)
    assert network.b.dialog(called)
    assert not sent(network, b"UPDATE")


def test_a_refresh_waits_for_an_offer_under_way() -> None:
    """While a re-INVITE is open, later; one that succeeds is a refresh itself (§7.4)."""
    network = Network()
    leg, called = established(network)
    network.run(890)
    network.b.reinvite(called, OFFER, network.now)
    network.run(20)
    assert not sent(network, b"UPDATE")
    network.a.reject(leg, 488, network.now)
    network.run(60)
    assert sent(network, b"UPDATE")
    network.run(HOURS)
    assert network.a.dialog(leg)


def test_a_refresh_that_finds_no_call_ends_ours() -> None:
    """§10: 481 to it: the far side forgot us, so the owner must know."""
    network = Network()
    leg, called = established(network)
    network.b._core.legs[called]._finish()
    network.run(1000)
    assert network.of("a", TimedOut) == [TimedOut(leg, "refresh")]
    assert not network.of("b", Bye)
    assert not network.a._core.legs
