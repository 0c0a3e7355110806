"""Hops and what is written for them: Via, Contact, and where requests and responses go."""

from __future__ import annotations

from itertools import count

import pytest
from onrecord.sip.client_leg import Invitation
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.headers import Address, Via
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response, parse
from onrecord.sip.uri import SipUri
from unit.sip.network import OFFER
from unit.sip.test_endpoint import request

HERE = (
    Hop("udp", "192.0.2.2", 5060),
    Hop("tcp", "192.0.2.2", 5060),
    Hop("tls", "192.0.2.2", 5061),
    Hop("udp", "2001:db8::2", 5060),
    Hop("tcp", "2001:db8::2", 5060),
)


def endpoint() -> Endpoint:
    """An endpoint with every transport."""
    numbers = count()
    return Endpoint(*HERE, tokens=lambda: f"t{next(numbers)}")


def sent(target: Endpoint) -> list[tuple[Request | Response, Hop]]:
    """Return what is sent now, parsed."""
    return [(parse(data), hop) for data, hop in target.messages_to_send()]


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        ("sip:192.0.2.1", Hop("udp", "192.0.2.1", 5060)),
        ("sip:a@192.0.2.1:5080;transport=TCP", Hop("tcp", "192.0.2.1", 5080)),
        ("sip:192.0.2.1;transport=tls", Hop("tls", "192.0.2.1", 5061)),
        ("sips:192.0.2.1", Hop("tls", "192.0.2.1", 5061)),
        ("sips:192.0.2.1;transport=tcp", Hop("tls", "192.0.2.1", 5061)),
        ("sip:a@[2001:db8::1]:5062", Hop("udp", "2001:db8::1", 5062)),
    ],
)
def test_a_uri_says_where_a_request_goes(uri: str, hop: Hop) -> None:
    """`;transport=` and `sips:` are honoured, and the port follows from them."""
    assert Hop.to(SipUri.parse(uri)) == hop


@pytest.mark.parametrize(
    ("target", "via", "contact"),
    [
        ("sip:1@192.0.2.1", "SIP/2.0/UDP 192.0.2.2:5060", "sip:192.0.2.2:5060"),
        (
            "sip:1@192.0.2.1;transport=tcp",
            "SIP/2.0/TCP 192.0.2.2:5060",
            "sip:192.0.2.2:5060;transport=tcp",
        ),
        (
            "sip:1@192.0.2.1;transport=tls",
            "SIP/2.0/TLS 192.0.2.2:5061",
            "sip:192.0.2.2:5061;transport=tls",
        ),
        ("sips:1@192.0.2.1", "SIP/2.0/TLS 192.0.2.2:5061", "sips:192.0.2.2:5061"),
        ("sip:1@[2001:db8::1]", "SIP/2.0/UDP [2001:db8::2]:5060", "sip:[2001:db8::2]:5060"),
    ],
)
def test_an_invite_names_the_address_that_it_is_sent_from(
    target: str, via: str, contact: str
) -> None:
    """Via and Contact fit the transport and the IP version (§18.1.1, §8.1.1.8)."""
    caller = endpoint()
    invitation = Invitation(SipUri.parse(target), Address(SipUri("a.example")), OFFER)
    caller.invite(invitation, 0.0)
    ((invite, hop),) = sent(caller)
    assert str(invite.via).startswith(via + ";rport")
    assert invite.contact is not None
    assert str(invite.contact.uri) == contact
    assert hop == Hop.to(SipUri.parse(target))


def test_a_response_to_a_stream_names_the_connection_and_the_way_without_it() -> None:
    """§18.2.2: over the same stream, and if that is gone to the Via's port at the source."""
    target = endpoint()
    source = Hop("tcp", "192.0.2.1", 40001, connection=7)
    data = request("OPTIONS").replace(b"/UDP 192.0.2.1:5060", b"/TCP 192.0.2.1:5099")
    target.receive_message(data, source, 0.0)
    ((response, hop),) = sent(target)
    assert hop == Hop("tcp", "192.0.2.1", 5099, connection=7)
    assert "rport=40001" in str(response.via)


def test_requests_in_a_dialog_stay_on_the_far_sides_connection() -> None:
    """A BYE to a Contact at the peer's own address reuses the peer's stream; elsewhere not."""
    for contact, expected in (
        ("sip:a@192.0.2.1:5062;transport=tcp", Hop("tcp", "192.0.2.1", 5062, connection=7)),
        ("sip:a@192.0.2.9:5062;transport=tcp", Hop("tcp", "192.0.2.9", 5062)),
        ("sip:a@192.0.2.1:5062", Hop("udp", "192.0.2.1", 5062)),
        ("sip:a@pbx.example", Hop("tcp", "192.0.2.1", 40001, connection=7)),
    ):
        target = endpoint()
        source = Hop("tcp", "192.0.2.1", 40001, connection=7)
        target.receive_message(request("INVITE", more=f"Contact: <{contact}>\r\n"), source, 0.0)
        event = target.next_event()
        assert event is not None
        target.answer(event.leg, OFFER, 0.0)
        tag = sent(target)[-1][0].to.tag
        ack = request("ACK", "z9hG4bKack", to_tag=tag)
        target.receive_message(ack, source, 0.0)
        target.bye(event.leg, 0.0)
        ((bye, hop),) = sent(target)
        assert isinstance(bye, Request)
        assert (bye.method, hop) == ("BYE", expected)
        assert bye.via.transport == expected.transport.upper()


def test_a_via_never_leads_to_another_host() -> None:
    """Whatever a Via names, the answer goes to the source's own address."""
    via = Via.parse("SIP/2.0/TLS 203.0.113.9;branch=z9hG4bKa;maddr=203.0.113.8")
    source = Hop("tls", "192.0.2.1", 40001, connection=3)
    assert via.response_hop(source) == Hop("tls", "192.0.2.1", 5061, connection=3)
