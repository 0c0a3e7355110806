"""Admission before parsing: new work is bounded by source, calls and emergencies are not."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from onrecord.sip.admission import MAX_SOURCES, Admission, unavailable
from onrecord.sip.hop import Hop
from onrecord.sip.message import parse
from unit.sip.test_endpoint import PEER, request
from unit.sip.test_message import INVITE

OTHER = Hop("udp", "192.0.2.9", 5060)
EMERGENCY = INVITE.replace(b"sip:1000@", b"sip:112@")


def admission(rate: float = 2.0) -> Admission:
    """Two messages a second; 112 is exempt."""
    return Admission(rate, lambda uri: uri.number == "112")


def test_a_source_has_so_many_a_second_and_no_other_pays_for_it() -> None:
    """What is saved up is spent at once, then the rate holds; a second source has its own."""
    gate = admission()
    assert [gate.admits(INVITE, PEER, 0.0) for _ in range(4)] == [True, True, False, False]
    assert gate.admits(INVITE, OTHER, 0.0)
    assert [gate.admits(INVITE, PEER, 0.5) for _ in range(2)] == [True, False]
    assert [gate.admits(INVITE, PEER, 99.0) for _ in range(3)] == [True, True, False]


def test_running_calls_and_emergencies_are_always_let_in() -> None:
    """ACK, CANCEL, BYE, responses and a call to 112 pass an empty bucket, an OPTIONS does not."""
    gate = admission()
    while gate.admits(INVITE, PEER, 0.0):
        pass
    assert not gate.admits(request("OPTIONS"), PEER, 0.0)
    for message in (
        request("ACK"),
        request("CANCEL"),
        request("BYE", to_tag="x"),
        request("BYE", to_tag="x").replace(b"\r\nTo: ", b"\r\nt :"),
        b"SIP/2.0 200 OK\r\n" + request("BYE").partition(b"\r\n")[2],
        EMERGENCY,
    ):
        assert gate.admits(message, PEER, 0.0), message


def test_sources_are_bounded() -> None:
    """Many sources cost no memory without limit."""
    gate = admission()
    for n in range(MAX_SOURCES + 10):
        gate.admits(INVITE, Hop("tls", f"2001:db8::{n:x}", 5061), 0.0)
    assert len(gate._buckets) <= MAX_SOURCES


def test_what_is_too_much_is_answered_503() -> None:
    """The same headers as a parsed request's answer, to where that would go."""
    answer = unavailable(INVITE, PEER, "tag1")
    assert answer is not None
    response = parse(answer[0])
    asked = parse(INVITE)
    asked.stamp_source(PEER)
    assert answer[0].startswith(b"SIP/2.0 503 ")
    assert response.headers.get("Retry-After")
    assert (str(response.via), response.call_id) == (str(asked.via), asked.call_id)
    assert (response.cseq, response.to.tag) == (asked.cseq, "tag1")
    assert answer[1] == asked.via.response_hop(PEER)


@given(st.binary(max_size=400), st.integers(0, len(INVITE)))
@example(b"\xff", INVITE.index(b"UDP"))
def test_any_octets_are_let_in_or_answered_or_dropped(noise: bytes, at: int) -> None:
    """Nothing raises, and every answer is a response that can be read."""
    for message in (noise, INVITE[:at] + noise + INVITE[at:]):
        admission(0.0).admits(message, PEER, 0.0)
        answer = unavailable(message, PEER, "x")
        if answer is not None:
            assert answer[1].host == PEER.host
            assert b"\n\n" not in answer[0].replace(b"\r\n", b"\n").rstrip()
