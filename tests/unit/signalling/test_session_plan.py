"""Which recording sessions are taken at all, and what is said to the others."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.consent_ledger.domain.intake import MAX_FIELDS
from onrecord.contracts.events.session import MAX_DOCUMENT
from onrecord.ledger.canonical import canonical_json
from onrecord.signalling.domain.plan import Refusal
from onrecord.signalling.domain.session_plan import SessionPlan
from onrecord.sip import message
from onrecord.sip.errors import SipError
from onrecord.sip.message import Request
from unit.signalling.sessions import TWO_LINES, Driver, planned, with_body
from unit.siprec.offers import FOLDER, parsed, request

QUOTE = "&quot;"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("sdp", "status", "reason"),
    [
        (TWO_LINES.replace(b"RTP/AVP", b"RTP/SAVP"), 488, "srtp_not_supported"),
        (TWO_LINES.replace(b"RTP/AVP 0", b"RTP/AVP 18"), 488, "no_common_codec"),
        (b"v=0\r\n", 488, "no_media"),
    ],
)
def test_offers_that_cannot_be_taken_are_refused_with_a_reason(
    sdp: bytes | None, status: int, reason: str
) -> None:
    """Nothing is opened for them."""
    assert planned(with_body("sems", sdp, b"<recording/>")) == Refusal(status, reason)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("multipart/mixed", 400), ("multipart/mixed;boundary=zz", 400)],
)
def test_bodies_that_cannot_be_taken_apart_are_refused(content_type: str, status: int) -> None:
    """400 for what is no multipart, as the reader of offers says."""
    octets = bytes(request("sems")).replace(
        b"multipart/mixed;boundary=2CD2A2E9", content_type.encode()
    )
    refused = planned(parsed(octets))
    assert isinstance(refused, Refusal)
    assert refused.status == status


def test_a_part_that_must_be_understood_and_is_not() -> None:
    """415, and Accept says what is understood."""
    octets = bytes(request("cube")).replace(
        b"application/gtd", b"application/gtd\r\nContent-Disposition: signal;handling=required"
    )
    octets = octets.replace(b"handling=optional", b"handling=required")
    refused = planned(parsed(octets))
    assert isinstance(refused, Refusal)
    assert refused.status == 415
    assert "application/rs-metadata+xml" in dict(refused.headers)["Accept"]


def test_the_first_fact_names_one_participant_for_each_side() -> None:
    """Numbers, names and the UCID of the metadata stand in `call.started`."""
    plan = planned(request("oracle"))
    assert isinstance(plan, SessionPlan)
    assert plan.started["session"] == "recording"
    assert plan.started["ucid"] == "001900014E3E7D5C"
    assert (plan.started["caller_number"], plan.started["callee_number"]) == ("9000", "1002")


def test_crossed_streams_do_not_cross_the_sides() -> None:
    """Ribbon sends the second participant's stream first: sides follow the streams."""
    plan = planned(request("ribbon"))
    assert isinstance(plan, SessionPlan)
    assert (plan.started["caller_number"], plan.started["callee_number"]) == ("8012", "8500")


def test_both_parties_of_a_mixed_stream_are_named() -> None:
    """One line for both: the first named is put down as the caller, the second as the callee."""
    plan = planned(request("broadworks_mixed"))
    assert isinstance(plan, SessionPlan)
    assert (plan.started["caller_number"], plan.started["callee_number"]) == ("caller", "+15550100")


@given(st.sampled_from(sorted(EXPECTED)), st.data())
def test_whatever_an_invite_holds_it_is_taken_or_refused(name: str, data: st.DataObject) -> None:
    """Octets changed anywhere: a plan whose session enters facts that fit, or a refusal."""
    octets = bytearray(bytes(request(name)))
    for _ in range(data.draw(st.integers(1, 8))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        invite = message.parse(bytes(octets))
    except SipError:
        return
    if not isinstance(invite, Request) or isinstance(planned(invite), Refusal):
        return
    driver = Driver(invite=invite)
    driver.opened()
    (described,) = driver.facts("session.described")
    assert described["streams"]


def test_a_fact_stays_small_whatever_the_document_holds() -> None:
    """The longest names in the widest letters, more of them than fit, and the longest document."""
    person = (
        f"<participant participant_id='%d{'☎' * 200}'><nameID aor='%d{QUOTE * 300}'>"
        f"<name>{QUOTE * 300}</name></nameID></participant>"
    )
    people = "".join(person % (number, number) for number in range(60))
    document = f"<recording><datamode>complete</datamode>{people}</recording>".encode()
    for body in (document, document[: MAX_DOCUMENT - 100] + b"</broken>"):
        driver = Driver(invite=with_body("sems", TWO_LINES, body))
        driver.opened()
        (described,) = driver.facts("session.described")
        assert len(canonical_json(described)) < MAX_FIELDS
