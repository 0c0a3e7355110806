"""Permits of recording sessions: what is stated counts only there, and only from where it stood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ledgers import NOON, fact, given, told_call
from onrecord.consent_ledger.domain import admission
from onrecord.consent_ledger.domain.call import fold
from onrecord.consent_ledger.domain.entries import Head, assemble, draft, sealing_keys
from onrecord.consent_ledger.domain.errors import ForeignFact
from onrecord.consent_ledger.domain.intake import check_appender
from onrecord.contracts.event import Event
from onrecord.contracts.events import NoticeGiven, PermitIssued, PermitRefused
from pydantic import ValidationError

REQUEST = admission.PermitRequest("c1", "c1:p0", ("c1:call.started",), "media-1")
STREAMS = ("stream-0", "stream-1")


def session(*more: Event) -> list[Event]:
    """The facts of a recording session of two streams, and those of `more`."""
    _, decided, answered, *_ = told_call("c1")
    return [fact("c1", "call.started", {"session": "recording"}), decided, *described(), answered,
            *more]  # fmt: skip


def described(*legs: str, number: str = "0", paused: str = "") -> list[Event]:
    """The fact that the session has these streams, and that the client stopped one of them."""
    streams = [
        {
            "leg": leg,
            "label": leg,
            "codec": "PCMU",
            "direction": "recvonly",
            "is_paused": leg == paused,
        }
        for leg in legs or STREAMS
    ]
    return [fact("c1", "session.described", {"streams": streams}, number)]


def stated(party: str, number: int = 0, **fields: Any) -> Event:
    """A notice that was not sent by us: in writing, unless `fields` say otherwise."""
    own = {"party": party, "method": "written", "grade": "D", "span": None, "prompt_sha256": None}
    return fact("c1", "notice.given", own | fields, f"{party}:{number}")


def claimed(party: str, *positions: tuple[str, int], number: int = 0) -> Event:
    """A notice that a named system says was given, with how far the streams had come by then."""
    received = [
        {"leg": leg, "position": {"ssrc": 7, "sequence": sequence, "timestamp": 0}}
        for leg, sequence in positions
    ]
    return stated(
        party, number, method="prompt", grade="C", stated_by="ivr", received=received
    )  # fmt: skip


def answer(events: Sequence[Event]) -> PermitIssued | PermitRefused:
    """The answer to a request when these facts are committed."""
    drafts = [
        draft(one, dict.fromkeys(sealing_keys(one).values(), bytes(32)), bytes) for one in events
    ]
    call = fold("c1", assemble(Head(-1, None), {"call/c1": 0}, drafts, NOON))
    made = admission.answer(REQUEST, call, NOON, lifetime=30, key_id="00112233").fact
    assert isinstance(made, PermitIssued | PermitRefused)
    return made


def first_kept(issued: PermitIssued | PermitRefused) -> dict[str, int | None]:
    """The first sequence number of each leg that a permit allows; None: from its beginning."""
    assert isinstance(issued, PermitIssued)
    return {leg.leg: leg.first_kept and leg.first_kept.sequence for leg in issued.legs}


def test_written_notices_permit_every_stream_from_its_beginning() -> None:
    """Who was told before the call was told before its first packet, in whichever stream."""
    issued = answer(session(stated("caller"), stated("agent")))
    assert first_kept(issued) == dict.fromkeys(STREAMS)


def test_a_claim_counts_from_where_the_streams_stood() -> None:
    """What was said before a system stated that the party was told is not kept, in no stream."""
    claims = (claimed("caller", ("stream-0", 10), ("stream-1", 20)),
              claimed("agent", ("stream-0", 15), ("stream-1", 24)))  # fmt: skip
    assert first_kept(answer(session(*claims))) == {"stream-0": 16, "stream-1": 25}


@pytest.mark.parametrize(
    "later", [described("stream-1", number="1"), described(number="1", paused="stream-0")]
)
def test_a_stream_that_the_client_has_stopped_is_not_permitted(later: list[Event]) -> None:
    """Taken away or paused: what is sent there all the same is not to be kept."""
    issued = answer(session(stated("caller"), stated("agent"), *later))
    assert first_kept(issued) == {"stream-1": None}


def test_one_party_told_in_writing_does_not_move_the_others_claim() -> None:
    """The later of the two moments decides, whichever kind of notice the other is."""
    issued = answer(session(stated("agent"), claimed("caller", ("stream-0", 10))))
    assert first_kept(issued) == {"stream-0": 11, "stream-1": None}


def test_a_stream_that_was_added_is_in_the_next_permit() -> None:
    """An offer with one line more than before: what was described last are the legs."""
    added = described(*STREAMS, "stream-2", number="1")
    issued = answer(session(stated("caller"), stated("agent"), *added))
    assert first_kept(issued) == dict.fromkeys((*STREAMS, "stream-2"))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([], "party_not_told"),
        ([stated("caller")], "party_not_told"),
        ([claimed("agent"), stated("agent", 1)], "party_not_told"),
        ([stated("caller", acts=["monitored"]), stated("agent")], "party_not_told"),
        ([stated("caller", purposes=["training"]), stated("agent")], "purpose_not_told"),
        (
            [stated("caller"), stated("agent"), fact("c1", "party.joined", {"party": "caller"})],
            "party_not_told",
        ),
        ([stated("caller"), stated("agent"), fact("c1", "objection.made", None, "0")], "objection"),
    ],
)
def test_the_floor_holds_for_a_recording_session(more: list[Event], reason: str) -> None:
    """Each party, of the recording, for its purposes, and nobody who joined since or said no."""
    refused = answer(session(*more))
    assert isinstance(refused, PermitRefused)
    assert refused.reason == reason


def test_without_a_stream_there_is_nothing_to_permit() -> None:
    """A session whose lines were all refused has no leg that a permit could name."""
    events = [
        one for one in session(stated("caller"), stated("agent")) if "described" not in one.type
    ]
    refused = answer(events)
    assert isinstance(refused, PermitRefused)
    assert refused.reason == "no_streams"


def test_a_statement_is_no_evidence_for_a_call_through_us() -> None:
    """There we play the notice ourselves, and no word of another system stands in for it."""
    started, decided, answered, *_ = told_call("c1")
    refused = answer([started, decided, answered, stated("caller"), claimed("agent")])
    assert isinstance(refused, PermitRefused)
    assert refused.reason == "party_not_told"


@pytest.mark.parametrize(
    "fields",
    [
        {"grade": "A"},
        {"grade": "B", "stated_by": "ivr"},
        {"grade": "C"},
        {"grade": "D", "method": "prompt"},
        {"prompt_sha256": "ab" * 32, "grade": "A"},
    ],
)
def test_what_was_not_sent_by_us_is_never_graded_as_if(fields: dict[str, Any]) -> None:
    """Without a span: a statement by somebody with a name (C), or something written (D)."""
    with pytest.raises(ValidationError):
        NoticeGiven.model_validate(stated("caller").fact.model_dump() | fields)


def test_only_signalling_says_what_others_state() -> None:
    """Announcement answers for what was played, signalling for the word of others: neither both."""
    check_appender(stated("caller"), {"signalling"})
    check_appender(given("c1", "caller"), {"announcement"})
    for event, service in (
        (stated("caller"), "announcement"),
        (given("c1", "caller"), "signalling"),
    ):
        with pytest.raises(ForeignFact):
            check_appender(event, {service})
