"""Transactions over streams: no repeats, no lingering, lost connections, and the next hop."""

from __future__ import annotations

from itertools import count

import pytest
from onrecord.sip.client_leg import Invitation
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import Ended, IncomingInvite, LegId, Rejected, TimedOut
from onrecord.sip.headers import Address
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response, parse
from onrecord.sip.uri import SipUri
from unit.sip.network import ANSWER, OFFER
from unit.sip.test_endpoint import request

HERE = (Hop("udp", "192.0.2.2", 5060), Hop("tcp", "192.0.2.2", 5060))
TCP = Hop("tcp", "192.0.2.1", 5060)
UDP = Hop("udp", "192.0.2.1", 5060)
SECOND = Hop("udp", "192.0.2.9", 5060)
LARGE = OFFER + b"a=x:" + b"y" * 1400 + b"\r\n"


class Caller:
    """An endpoint and what it sent."""

    def __init__(self, *local: Hop) -> None:
        numbers = count()
        self.endpoint = Endpoint(*(local or HERE), tokens=lambda: f"t{next(numbers)}")

    def call(self, *destinations: Hop, body: bytes = OFFER) -> LegId:
        """Invite somebody at these hops."""
        target = SipUri.parse("sip:1000@pbx.example")
        caller = Address(SipUri("192.0.2.2", "alice"))
        invitation = Invitation(target, caller, body, destinations=destinations)
        return self.endpoint.invite(invitation, 0.0)

    def sent(self) -> list[tuple[Request | Response, Hop]]:
        """Return what was sent since the last time."""
        return [(parse(data), hop) for data, hop in self.endpoint.messages_to_send()]

    def request(self) -> tuple[Request, Hop]:
        """Return the last request that was sent."""
        message, hop = [(m, hop) for m, hop in self.sent() if isinstance(m, Request)][-1]
        assert isinstance(message, Request)
        return message, hop

    def answer(self, invite: Request, status: int, now: float = 0.1) -> None:
        """Let the far side answer."""
        response = invite.response(status, to_tag="far")
        response.headers.add("Contact", "<sip:192.0.2.1;transport=tcp>")
        self.endpoint.receive_message(bytes(response), TCP, now)

    def methods(self) -> list[str]:
        """Return the methods of the requests that were sent."""
        return [message.method for message, _ in self.sent() if isinstance(message, Request)]


def test_requests_are_not_repeated_on_a_stream() -> None:
    """Timers A and E do not run on TCP (table 4); B still ends the wait."""
    caller = Caller()
    caller.call(TCP)
    assert caller.methods() == ["INVITE"]
    caller.endpoint.handle_timer(31.9)
    assert caller.methods() == []
    caller.endpoint.handle_timer(32.0)
    assert isinstance(caller.endpoint.next_event(), TimedOut)


def test_only_a_2xx_is_repeated_on_a_stream() -> None:
    """§13.3.1.4: the 2xx is repeated end to end; a failure is not, and its ACK ends it all."""
    target = Caller().endpoint
    source = Hop("tcp", "192.0.2.1", 40001, connection=1)
    contact = "Contact: <sip:a@192.0.2.1>\r\n"
    target.receive_message(request("INVITE", "z9hG4bK1", more=contact), source, 0.0)
    other = request("INVITE", "z9hG4bK2", more=contact).replace(b"c9", b"c10")
    target.receive_message(other, source, 0.0)
    accepted, refused = target.next_event(), target.next_event()
    assert isinstance(accepted, IncomingInvite)
    assert isinstance(refused, IncomingInvite)
    target.answer(accepted.leg, ANSWER, 0.0)
    target.reject(refused.leg, 486, 0.0)
    target.messages_to_send()
    target.handle_timer(2.0)
    repeated = {data.split()[1] for data, _ in target.messages_to_send()}
    assert repeated == {b"200"}
    ack = other.replace(b"INVITE", b"ACK")
    target.receive_message(ack, source, 2.1)
    target.handle_timer(2.1)
    assert len(target._core.layer) == 1


def test_answered_transactions_do_not_linger_on_a_stream() -> None:
    """Timers J and K are zero on TCP: nothing is kept for repeats that cannot come."""
    target = Caller().endpoint
    for n in range(50):
        data = request("OPTIONS", f"z9hG4bK{n}").replace(b"c9", b"c%d" % n)
        target.receive_message(data, Hop("tcp", "192.0.2.1", 40001, connection=1), float(n))
        target.handle_timer(float(n))
    assert len(target._core.layer) == 0


@pytest.mark.parametrize("lost", [TCP, Hop("tcp", "192.0.2.1", 5060, connection=4)])
def test_an_unreachable_hop_is_a_503(lost: Hop) -> None:
    """§8.1.3.1: a transport error is treated as 503, at once."""
    caller = Caller()
    leg = caller.call(TCP)
    caller.endpoint.unreachable(lost, 0.5)
    assert caller.endpoint.next_event() == Rejected(leg, 503, "Service Unavailable")
    assert caller.endpoint.next_timer() is None


def test_what_the_far_side_works_on_survives_the_connection() -> None:
    """§18.2.2: after a provisional response the final one comes over another stream."""
    caller = Caller()
    leg = caller.call(TCP)
    invite, _ = caller.request()
    caller.answer(invite, 180)
    caller.endpoint.unreachable(TCP, 0.5)
    caller.answer(invite, 200, 1.0)
    assert caller.methods() == ["ACK"]
    caller.endpoint.bye(leg, 2.0)
    assert caller.methods() == ["BYE"]
    caller.endpoint.unreachable(Hop("tcp", "192.0.2.1", 5060), 2.1)
    events = [caller.endpoint.next_event() for _ in range(3)]
    assert events[-1] == Ended(leg)


def test_a_large_request_goes_by_tcp_and_back_to_udp_if_that_is_refused() -> None:
    """§18.1.1: above 1,300 octets TCP, with a Via that says so; UDP when TCP is refused."""
    caller = Caller()
    caller.call(UDP, body=LARGE)
    first, hop = caller.request()
    assert (hop, first.via.transport) == (TCP, "TCP")
    caller.endpoint.unreachable(TCP, 0.1)
    second, hop = caller.request()
    assert (hop, second.via.transport) == (UDP, "UDP")
    assert second.via.branch != first.via.branch
    assert (second.call_id, str(second.cseq)) == (first.call_id, str(first.cseq))
    assert caller.endpoint.next_event() is None
    caller.call(UDP, body=LARGE)
    assert caller.request()[1] == UDP


def test_a_small_request_and_one_without_tcp_stay_on_udp() -> None:
    """Nothing changes where it need not or cannot."""
    caller = Caller()
    caller.call(UDP)
    assert caller.request()[1] == UDP
    caller = Caller(HERE[0])
    caller.call(UDP, body=LARGE)
    assert caller.request()[1] == UDP


@pytest.mark.parametrize("how", ["unreachable", "silent", "503"])
def test_the_next_hop_is_tried(how: str) -> None:
    """RFC 3263 §4.3: transport error, time-out and 503 lead on; the last one's word counts."""
    caller = Caller()
    leg = caller.call(TCP, SECOND)
    first, _ = caller.request()
    if how == "unreachable":
        caller.endpoint.unreachable(TCP, 0.1)
    elif how == "silent":
        caller.endpoint.handle_timer(32.0)
    else:
        caller.answer(first, 503)
    second, hop = caller.request()
    assert hop == SECOND
    assert second.via.branch != first.via.branch
    assert caller.endpoint.next_event() is None
    caller.answer(second, 503, 33.0)
    assert caller.endpoint.next_event() == Rejected(leg, 503, "Service Unavailable")


def test_a_busy_callee_is_not_looked_for_elsewhere() -> None:
    """Any other failure is an answer."""
    caller = Caller()
    leg = caller.call(TCP, SECOND)
    caller.answer(caller.request()[0], 486)
    assert caller.endpoint.next_event() == Rejected(leg, 486, "Busy Here")


def test_a_cancelled_call_is_not_placed_elsewhere() -> None:
    """Whoever hung up while one hop was tried does not make the next one ring."""
    caller = Caller()
    leg = caller.call(TCP, SECOND)
    caller.request()
    caller.endpoint.cancel(leg, 0.1)
    caller.endpoint.unreachable(TCP, 0.2)
    assert caller.methods() == []
    assert caller.endpoint.next_event() == Rejected(leg, 503, "Service Unavailable")


def test_cancel_follows_the_invite() -> None:
    """§9.1: the CANCEL goes to the hop that the INVITE went to last, with its Via."""
    caller = Caller()
    leg = caller.call(TCP, SECOND)
    caller.endpoint.unreachable(TCP, 0.1)
    invite, _ = caller.request()
    caller.answer(invite, 180)
    caller.endpoint.cancel(leg, 0.2)
    cancel, hop = caller.request()
    assert (cancel.method, hop) == ("CANCEL", SECOND)
    assert str(cancel.via) == str(invite.via)
