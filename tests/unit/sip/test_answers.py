"""What an owner adds to answers, and the extensions that it takes care of."""

from __future__ import annotations

import pytest
from onrecord.sip.capabilities import Capabilities
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import IncomingInvite, Reinvited
from onrecord.sip.message import Response, parse
from unit.sip.network import ANSWER, CALLEE, OFFER, Network, tokens
from unit.sip.test_calls import established
from unit.sip.test_endpoint import answers, request

SRS = (("Contact", "<sip:192.0.2.2:5070>;+sip.srs"), ("Accept", "application/sdp"))


def sent_by_b(network: Network, start: bytes) -> list[Response]:
    """Return the responses that begin like this."""
    found = [parse(data) for data in network.wire if data.startswith(start)]
    return [message for message in found if isinstance(message, Response)]


def test_an_owner_adds_headers_to_its_answers() -> None:
    """They stand in 18x and 2xx, in place of ours of the same names."""
    network = Network()
    network.invite()
    network.run()
    (incoming,) = network.of("b", IncomingInvite)
    network.b.ring(incoming.leg, network.now, headers=(("Alert-Info", "<urn:alert:x>"),))
    network.b.answer(incoming.leg, ANSWER, network.now, headers=SRS)
    network.run()
    (ringing,) = sent_by_b(network, b"SIP/2.0 180")
    assert ringing.headers.get("Alert-Info") == "<urn:alert:x>"
    (answer,) = sent_by_b(network, b"SIP/2.0 200")
    assert answer.headers.fields("Contact") == [SRS[0][1]]
    assert answer.headers.get("Accept") == "application/sdp"
    assert isinstance(incoming, IncomingInvite)
    assert network.b.contact(incoming) in SRS[0][1]


def test_an_owner_adds_headers_to_the_answer_of_a_reinvite() -> None:
    """A re-INVITE arrives with its headers, and its answer takes more."""
    network = Network()
    leg, called = established(network)
    network.a.reinvite(leg, OFFER, network.now)
    network.run()
    (reinvited,) = network.of("b", Reinvited)
    assert reinvited.request.content_type == "application/sdp"
    network.b.answer(called, ANSWER, network.now, headers=SRS)
    network.run()
    assert sent_by_b(network, b"SIP/2.0 200")[-1].headers.fields("Contact") == [SRS[0][1]]


def test_an_emergency_call_may_require_anything() -> None:
    """§8.2.2.3 would have 420, RFC 4028 422: a call that must connect is taken first."""
    more = "Contact: <sip:a@192.0.2.1>\r\nRequire: precondition\r\nSession-Expires: 1\r\n"
    more += "Supported: timer\r\n"
    for spares, status in ((True, 100), (False, 420)):
        chosen = spares
        endpoint = Endpoint(CALLEE, tokens=tokens("b"), spares=lambda _request, c=chosen: c)
        (response,) = answers(endpoint, request("INVITE", more=more))
        assert response.status == status


@pytest.mark.parametrize(
    ("required", "unsupported"),
    [("siprec", None), ("SIPREC, foo", "foo"), ("foo, bar", "foo, bar")],
)
def test_extensions_of_the_owner_may_be_required(required: str, unsupported: str | None) -> None:
    """§8.2.2.3: only what neither we nor the owner know is 420, and named."""
    known = Capabilities(extensions=frozenset({"siprec"}))
    endpoint = Endpoint(CALLEE, tokens=tokens("b"), capabilities=known)
    more = f"Contact: <sip:a@192.0.2.1>\r\nRequire: {required}\r\n"
    (response,) = answers(endpoint, request("INVITE", more=more))
    assert response.status == (100 if unsupported is None else 420)
    assert response.headers.get("Unsupported") == unsupported
