"""What crosses the B2BUA: named headers only, and a description out of whatever it comes in."""

from __future__ import annotations

from datetime import date

from onrecord.signalling.domain import crossing as crossing_module
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.crossing import crossing
from onrecord.signalling.domain.phase import Phase
from onrecord.signalling.domain.plan import Plan, Refusal, plan_call
from onrecord.sip import multipart
from onrecord.sip.headers import Headers, canonical
from onrecord.sip.multipart import Part
from unit.signalling.test_call import ANSWER, OFFER, Driver, office, request

REASON = (("Reason", "Q.850;cause=16"),)
LOCATION = Part((("Content-Type", "application/pidf+xml"),), b"<presence/>")
ACCEPT = (("Accept", "application/sdp"),)
DESCRIPTION = Part((("Content-Type", "application/sdp"),), OFFER)


def planned(number: str, body: bytes, content_type: str) -> Plan | Refusal:
    """Route an INVITE with a body of this type."""
    invite = request(number, body, f"Content-Type: {content_type}\r\n")
    return plan_call(office(), "x", invite, date(2026, 11, 23), 7)


def test_only_named_headers_cross() -> None:
    """Who calls and why goes on; where from, by which way and with what program does not."""
    more = (
        "P-Asserted-Identity: <sip:+44@x>\r\nUser-to-User: 00;encoding=hex\r\n"
        "Diversion: <sip:1@x>\r\nDiversion: <sip:2@x>\r\nUser-Agent: secret\r\n"
        "Route: <sip:evil.example;lr>\r\nRecord-Route: <sip:192.0.2.9;lr>\r\nX-Anything: 1\r\n"
    )
    plan = plan_call(office(), "x", request(more=more), date(2026, 11, 23), 7)
    assert isinstance(plan, Plan)
    assert plan.headers == (
        ("P-Asserted-Identity", "<sip:+44@x>"),
        ("User-to-User", "00;encoding=hex"),
        ("Diversion", "<sip:1@x>"),
        ("Diversion", "<sip:2@x>"),
    )


def test_a_hang_up_says_why_to_the_other_side() -> None:
    """RFC 3326: the Reason of a BYE crosses, either way."""
    assert crossing("BYE", Headers([*REASON, ("Contact", "<sip:x>")])) == REASON
    driver = Driver().until(Phase.RECORDING)
    assert driver.feed(on.HungUp("agent", headers=REASON))[0] == do.HangUp("caller", REASON)


def test_what_the_agents_side_says_reaches_the_caller() -> None:
    """With its ringing, its answer and its refusal."""
    headers = (("P-Asserted-Identity", "<sip:agent@x>"),)
    driver = Driver().until(Phase.DIALLING)
    assert driver.feed(on.AgentRinging(180, "", b"", headers)) == [
        do.RingCaller(180, "", b"", headers)
    ]
    driver.feed(on.AgentAnswered(ANSWER, headers), on.MediaUpdated())
    (answer,) = [effect for effect in driver.done if isinstance(effect, do.Answer)]
    assert answer.headers == headers
    refused = Driver().until(Phase.DIALLING)
    first = refused.feed(on.AgentRefused(486, "Busy", REASON))[0]
    assert first == do.Refuse("caller", 486, "Busy", REASON)


def test_a_description_may_be_one_part_of_several() -> None:
    """A location beside it is no reason to refuse a call; a body without a description is 415."""
    body = multipart.write((LOCATION, DESCRIPTION), "b")
    plan = planned("1000", body, multipart.content_type("b"))
    assert isinstance(plan, Plan)
    assert (plan.offer, plan.content_type) == (OFFER, "")
    alone = multipart.write((LOCATION,), "b")
    assert planned("1000", alone, multipart.content_type("b")) == Refusal(
        415, "no_description", ACCEPT
    )
    assert planned("1000", b"<p>", "text/html") == Refusal(415, "no_description", ACCEPT)


def test_an_emergency_call_brings_its_location() -> None:
    """RFC 6442: the body goes through whole, under the type that it came with."""
    body = multipart.write((LOCATION, DESCRIPTION), "b")
    plan = planned("112", body, multipart.content_type("b"))
    assert isinstance(plan, Plan)
    assert (plan.offer, plan.content_type) == (body, multipart.content_type("b"))


def test_the_table_has_the_names_as_headers_have_them() -> None:
    """A name in another spelling would never be found, and its header never cross."""
    names = [name for kind in crossing_module._CROSSES.values() for name in kind]
    assert names == [canonical(name) for name in names]
