"""A dialog that outlives its endpoint: the far side must not notice."""

from __future__ import annotations

from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import Bye, Ended, LegId, Reinvited
from onrecord.sip.message import parse
from unit.sip.network import ANSWER, CALLEE, OFFER, Network, clean, lose, tokens
from unit.sip.test_calls import established


def restarted(network: Network, leg: LegId) -> LegId:
    """Replace `b` by a new endpoint that knows only the dialog."""
    dialog = network.b.dialog(leg)
    assert dialog is not None
    network.b = Endpoint(CALLEE, tokens=tokens("c"))
    return network.b.restore(dialog)


def test_a_restored_dialog_is_hung_up() -> None:
    """BYE with the tags, the target and the next CSeq; retransmitted until it is answered."""
    network = Network()
    _, called = established(network)
    leg = restarted(network, called)
    network.fault = lose(first=2, of=b"BYE")
    network.b.bye(leg, network.now)
    network.run(5)
    assert network.sent(b"BYE") == 3
    assert network.of("a", Bye)
    assert network.of("b", Ended) == [Ended(leg)]
    assert network.b.dialog(leg) is None


def test_a_hang_up_that_nobody_answers_is_given_up() -> None:
    """64*T1 later the leg is over."""
    network = Network()
    _, called = established(network)
    leg = restarted(network, called)
    network.fault = lose(first=99, of=b"BYE")
    network.b.bye(leg, network.now)
    network.run(31)
    assert not network.of("b", Ended)
    network.run(2)
    assert network.of("b", Ended) == [Ended(leg)]
    assert network.b.next_timer() is None


def test_requests_of_the_far_side_find_a_restored_dialog() -> None:
    """A re-INVITE and a BYE from the other side mean what they meant before."""
    network = Network()
    leg, called = established(network)
    restored = restarted(network, called)
    network.a.reinvite(leg, OFFER, network.now)
    network.run()
    assert [(e.leg, e.body) for e in network.of("b", Reinvited)] == [(restored, OFFER)]
    network.b.answer(restored, ANSWER, network.now)
    network.run()
    network.a.bye(leg, network.now)
    network.run()
    assert network.of("b", Bye) == [Bye(restored)]
    assert network.sent(b"SIP/2.0 481") == 0


def test_sequence_numbers_go_on() -> None:
    """The restored side's CSeq is above all that it sent before (RFC 3261 §12.2.1.1)."""
    network = Network()
    _, called = established(network)
    network.b.reinvite(called, OFFER, network.now)
    network.run()
    leg = restarted(network, called)
    network.b.bye(leg, network.now)
    (sent,) = [parse(data) for data, _ in network.b.messages_to_send()]
    assert str(sent.cseq) == "2 BYE"


def test_a_leg_has_a_dialog_to_keep_only_while_it_is_confirmed() -> None:
    """Neither a ringing call nor one that is over; what is handed out is a copy."""
    network = Network()
    network.react = lambda _who, _event: None
    leg = network.invite()
    network.run()
    assert network.a.dialog(leg) is None
    assert [network.b.dialog(called) for called in list(network.b._core.legs)] == [None]
    other = Network()
    leg, called = established(other)
    copy = other.b.dialog(called)
    assert copy is not None
    copy.local_cseq = 99
    assert copy != other.b.dialog(called)
    other.fault = clean
    other.a.bye(leg, other.now)
    other.run()
    assert other.a.dialog(leg) is None
    assert other.b.dialog(called) is None


def test_an_unknown_dialog_is_refused() -> None:
    """An endpoint that was told nothing answers 481."""
    network = Network()
    leg, _ = established(network)
    network.b = Endpoint(CALLEE, tokens=tokens("c"))
    network.a.bye(leg, network.now)
    network.run()
    assert network.sent(b"SIP/2.0 481") == 1
    assert network.of("a", Ended)
