"""RFC 7616: a trunk asks who we are, is answered once, and believes us or not."""

from __future__ import annotations

from itertools import count
from typing import cast

import pytest
from onrecord.sip.client_leg import Invitation
from onrecord.sip.digest import Authorizer, Credentials
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import Answered, LegId, Rejected
from onrecord.sip.headers import Address, Headers
from onrecord.sip.message import Request, Response, parse
from onrecord.sip.uri import SipUri
from unit.sip.network import CALLEE, CALLER, OFFER

# RFC 7616 section 3.9.1
MUFASA = Credentials("Mufasa", "Circle of Life")
REALM = "http-auth@example.org"
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CLIENT_NONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
CHALLENGE = (
    f'Digest realm="{REALM}", qop="auth, auth-int", algorithm={{}}, nonce="{NONCE}", opaque="o"'
)


def refusal(*challenges: str, status: int = 401) -> Response:
    """A response that asks who we are."""
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return Response(status, "", Headers([(name, text) for text in challenges]))


def answered(*challenges: str) -> str:
    """What Mufasa answers to these challenges, about the RFC's own request."""
    authorizer = Authorizer({REALM: MUFASA}, lambda: CLIENT_NONCE)
    request = Request("GET", cast("SipUri", "/dir/index.html"), Headers())
    if authorizer.take(refusal(*challenges)):
        authorizer.authorize(request)
    return request.headers.get("Authorization") or ""


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_the_rfc(algorithm: str, response: str) -> None:
    """Section 3.9.1, both algorithms."""
    said = answered(CHALLENGE.format(algorithm))
    assert f'response="{response}"' in said
    assert f"algorithm={algorithm}" in said
    assert "qop=auth, nc=00000001" in said
    assert 'opaque="o"' in said


def test_the_first_challenge_that_we_can_answer_is_taken() -> None:
    """RFC 8760 section 2.4: the server's order is its preference; what we do not know is passed."""
    sha, md5, odd = (CHALLENGE.format(name) for name in ("SHA-256", "MD5", "SHA-512-256"))
    assert "algorithm=SHA-256" in answered(odd, sha, md5)
    assert "algorithm=MD5" in answered(md5, sha)
    foreign = CHALLENGE.format("MD5").replace(REALM, "elsewhere")
    for challenge in (odd, "Basic realm=x", foreign, "Digest", sha.replace("auth, ", "")):
        assert not answered(challenge)


def test_old_servers_without_qop() -> None:
    """RFC 2069: no client nonce, no count."""
    said = answered(f'Digest realm="{REALM}", nonce="{NONCE}"')
    assert "response=" in said
    assert "cnonce" not in said


def caller() -> tuple[Endpoint, LegId, Request]:
    """An endpoint with credentials that has sent an INVITE."""
    numbers = count()
    endpoint = Endpoint(CALLER, tokens=lambda: f"t{next(numbers)}", credentials={REALM: MUFASA})
    target = Invitation(SipUri.parse("sip:1@192.0.2.2:5070"), Address.parse("<sip:a@x>"), OFFER)
    leg = endpoint.invite(target, 0.0)
    return endpoint, leg, sent(endpoint)[0]


def sent(endpoint: Endpoint) -> list[Request]:
    """What the endpoint sends now, in order."""
    found = [parse(data) for data, _ in endpoint.messages_to_send()]
    return [message for message in found if isinstance(message, Request)]


def challenged(endpoint: Endpoint, request: Request, more: str = "") -> list[Request]:
    """Answer a request with a proxy's challenge; return what the endpoint sends then."""
    response = request.response(407, to_tag="p")
    response.headers.add("Proxy-Authenticate", CHALLENGE.format("SHA-256") + more)
    endpoint.receive_message(bytes(response), CALLEE, 0.1)
    return sent(endpoint)


def accepted(endpoint: Endpoint, request: Request) -> None:
    """Answer a request with 200."""
    response = request.response(200, to_tag="b")
    response.headers.add("Contact", "<sip:b@192.0.2.2:5070>")
    endpoint.receive_message(bytes(response), CALLEE, 0.2)


def test_a_challenged_call_is_made_again_once() -> None:
    """ACK, then the same call with CSeq 2; ACK and BYE bring credentials unasked."""
    endpoint, leg, invite = caller()
    ack, again = challenged(endpoint, invite)
    assert (ack.method, again.cseq.number, again.call_id) == ("ACK", 2, invite.call_id)
    assert again.via.branch != invite.via.branch
    assert again.body == OFFER
    accepted(endpoint, again)
    assert isinstance(endpoint.next_event(), Answered)
    endpoint.bye(leg, 0.3)
    ack, bye = sent(endpoint)
    assert ack.headers.get("Proxy-Authorization") == again.headers.get("Proxy-Authorization")
    assert "nc=00000002" in (bye.headers.get("Proxy-Authorization") or "")


def test_a_wrong_password_is_tried_once() -> None:
    """The second challenge is the refusal; a stale nonce is not, but not for ever."""
    endpoint, leg, invite = caller()
    _, again = challenged(endpoint, invite)
    assert [r.method for r in challenged(endpoint, again)] == ["ACK"]
    assert endpoint.next_event() == Rejected(leg, 407, "Unknown")
    endpoint, leg, request = caller()
    for _ in range(3):
        _, request = challenged(endpoint, request, ", stale=true")
    assert [r.method for r in challenged(endpoint, request, ", stale=true")] == ["ACK"]
    assert isinstance(endpoint.next_event(), Rejected)


def test_a_challenged_offer_and_hang_up_are_made_again() -> None:
    """A trunk that asks inside the call, too."""
    endpoint, leg, invite = caller()
    accepted(endpoint, invite)
    sent(endpoint)
    endpoint.reinvite(leg, OFFER, 0.3)
    (offer,) = sent(endpoint)
    _, again = challenged(endpoint, offer)
    assert again.headers.get("Proxy-Authorization")
    accepted(endpoint, again)
    endpoint.bye(leg, 0.4)
    bye = sent(endpoint)[-1]
    (last,) = challenged(endpoint, bye, ", stale=true")
    assert (last.method, last.cseq.number) == ("BYE", bye.cseq.number + 1)


def test_without_credentials_a_challenge_is_a_refusal() -> None:
    """As it was: the owner hears of it."""
    endpoint = Endpoint(CALLER, tokens=lambda: "t")
    target = Invitation(SipUri.parse("sip:1@192.0.2.2:5070"), Address.parse("<sip:a@x>"), OFFER)
    leg = endpoint.invite(target, 0.0)
    challenged(endpoint, sent(endpoint)[0])
    assert endpoint.next_event() == Rejected(leg, 407, "Unknown")
