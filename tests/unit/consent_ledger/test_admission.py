"""Permits: decided from committed facts alone, refused with the reason."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from ledgers import NOON, fact, given, told_call
from onrecord.consent_ledger.domain import admission
from onrecord.consent_ledger.domain.call import fold
from onrecord.consent_ledger.domain.entries import Head, assemble, draft, sealing_keys
from onrecord.consent_ledger.domain.errors import FactsMissing
from onrecord.contracts.event import Event
from onrecord.contracts.events import PermitIssued, PermitRefused

REQUEST = admission.PermitRequest("c1", "c1:p0", ("c1:call.started",), "media-1")
TOLD = told_call("c1")


def answer(events: Sequence[Event], request: admission.PermitRequest = REQUEST) -> Event:
    """The answer to a request when these facts are committed."""
    drafts = [
        draft(one, dict.fromkeys(sealing_keys(one).values(), bytes(32)), bytes) for one in events
    ]
    call = fold("c1", assemble(Head(-1, None), {"call/c1": 0}, drafts, NOON))
    return admission.answer(request, call, NOON, lifetime=30, key_id="00112233")


def replaced(event_type: str, **fields: Any) -> list[Event]:
    """The told call with other fields in one of its facts."""
    return [
        fact("c1", event_type, {**one.fact.model_dump(), **fields})
        if one.type == event_type
        else one
        for one in TOLD
    ]


def obligations(
    *purposes: str, languages: tuple[str, str] = ("en-GB", "en-GB")
) -> list[dict[str, Any]]:
    """What is owed to caller and agent, for these purposes and in these languages."""
    return [
        {
            "party": party,
            "method": "prompt",
            "language": language,
            "acts": ["recorded"],
            "purposes": purposes,
        }
        for party, language in zip(("caller", "agent"), languages, strict=True)
    ]


def test_a_told_call_is_permitted() -> None:
    """The permit names parties, evidence, node, pack and the time to use it."""
    event = answer(TOLD)
    assert event.event_id == "c1:permit.issued:0"
    issued = event.fact
    assert isinstance(issued, PermitIssued)
    assert issued.relied_on == ("c1:notice.given:agent:0", "c1:notice.given:caller:0")
    assert (issued.parties, issued.pack, issued.media_node) == (
        ("caller", "agent"),
        "uk",
        "media-1",
    )
    permit = admission.permit_of(issued, "c1", NOON, "00112233")
    assert permit.not_after - permit.issued_at == timedelta(seconds=30)


def test_a_leg_with_nothing_received_is_kept_from_its_first_packet() -> None:
    """No position in the notice means none in the permit."""
    silent = given("c1", "caller").fact.model_dump()
    silent["span"]["received"] = None
    issued = answer([*TOLD[:3], fact("c1", "notice.given", silent, "caller:0"), TOLD[4]]).fact
    assert isinstance(issued, PermitIssued)
    first_kept = {leg.leg: leg.first_kept for leg in issued.legs}
    assert first_kept.pop("agent") is not None
    assert first_kept == {"caller": None, "service-caller": None, "service-agent": None}


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([TOLD[0], *TOLD[2:]], "not_decided"),
        (replaced("call.started", kind="emergency"), "emergency"),
        (replaced("call.started", kind="unrecorded"), "unrecorded"),
        ([*TOLD, fact("c1", "call.ended")], "call_ended"),
        (replaced("policy.decided", may_record=False), "not_allowed"),
        (replaced("policy.decided", pack="nowhere"), "unknown_pack"),
        (replaced("policy.decided", pack_version="0"), "unknown_pack"),
        (replaced("policy.decided", obligations=[]), "not_allowed"),
        (replaced("policy.decided", obligations=obligations("training")), "purpose_not_told"),
        ([TOLD[0], TOLD[1], *TOLD[3:]], "no_own_party"),
        (TOLD[:4], "party_not_told"),
        ([*TOLD[:3], TOLD[4]], "party_not_told"),
        ([*TOLD, fact("c1", "party.left", None, "0")], "no_own_party"),
        ([*TOLD, fact("c1", "objection.made", None, "0")], "objection"),
        ([*TOLD, fact("c1", "consent.refused", None, "0")], "objection"),
    ],
)
def test_a_call_that_may_not_be_kept_is_refused(events: list[Event], reason: str) -> None:
    """Each lack has its reason, decided from what is committed and from nothing else."""
    event = answer(events)
    assert event.event_id == "c1:permit.refused:0"
    assert isinstance(event.fact, PermitRefused)
    assert event.fact.reason == reason


def test_a_notice_in_another_ear_is_none() -> None:
    """A caller's notice that was played to the agent has told the caller nothing."""
    astray = given("c1", "caller").fact.model_dump()
    astray["span"]["leg"] = "service-agent"
    event = answer([*TOLD[:3], fact("c1", "notice.given", astray, "agent:1"), TOLD[4]])
    assert isinstance(event.fact, PermitRefused)
    assert event.fact.reason == "party_not_told"


def test_a_notice_counts_in_the_language_that_its_party_is_owed() -> None:
    """Told in English, a caller who is owed Welsh was not told; the agent may be owed English."""
    owed = obligations("quality", languages=("cy-GB", "en-gb"))
    decided = replaced("policy.decided", obligations=owed)
    refused = answer(decided).fact
    assert isinstance(refused, PermitRefused)
    assert refused.reason == "party_not_told"
    in_welsh = {**given("c1", "caller").fact.model_dump(), "language": "cy-GB"}
    told_again = fact("c1", "notice.given", in_welsh, "caller:1")
    assert isinstance(answer([*decided, told_again]).fact, PermitIssued)


def test_who_joins_must_be_told_anew() -> None:
    """The agent to whom a call is transferred was not told what the one before was told."""
    joined = [*TOLD, fact("c1", "party.left", None, "0"), fact("c1", "party.joined", None, "0")]
    refused = answer(joined).fact
    assert isinstance(refused, PermitRefused)
    assert refused.reason == "party_not_told"
    again = fact("c1", "notice.given", given("c1", "agent").fact.model_dump(), "agent:1")
    issued = answer([*joined, again]).fact
    assert isinstance(issued, PermitIssued)
    assert issued.relied_on == (again.event_id, "c1:notice.given:caller:0")


def test_a_position_after_which_nothing_can_follow_is_a_bad_request() -> None:
    """A number of the media that no permit can carry is an answer, and no end of the ledger."""
    last = given("c1", "caller").fact.model_dump()
    last["span"]["received"]["sequence"] = 2**48 - 1
    with pytest.raises(admission.BadRequest):
        answer([*TOLD[:3], fact("c1", "notice.given", last, "caller:0"), TOLD[4]])


def test_purposes_are_those_that_every_party_was_told_of() -> None:
    """A purpose that one side only knows of is none to listen for."""
    agent = {**given("c1", "agent").fact.model_dump(), "purposes": ["quality", "training"]}
    told = [*TOLD[:4], fact("c1", "notice.given", agent, "agent:0")]
    drafts = [
        draft(one, dict.fromkeys(sealing_keys(one).values(), bytes(32)), bytes) for one in told
    ]
    call = fold("c1", assemble(Head(-1, None), {"call/c1": 0}, drafts, NOON))
    assert call.told_purposes == {"quality"}


def test_an_objection_taken_back_opens_the_gate_again() -> None:
    """Consent given after an objection of the same party counts."""
    taken_back = [fact("c1", "objection.made", None, "0"), fact("c1", "consent.given", None, "0")]
    assert isinstance(answer([*TOLD, *taken_back]).fact, PermitIssued)
    assert isinstance(answer([*TOLD, *reversed(taken_back)]).fact, PermitRefused)


def test_missing_facts_are_named_and_nothing_is_decided() -> None:
    """A fact that is relied on but not committed may be on its way."""
    request = admission.PermitRequest("c1", "c1:p0", ("c1:call.started", "c1:x", "c1:y"), "m")
    with pytest.raises(FactsMissing) as caught:
        answer(TOLD, request)
    assert caught.value.event_ids == ("c1:x", "c1:y")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"permit_id": "c2:p0"}, "permit_id"),
        ({"permit_id": "c1:0"}, "permit_id"),
        ({"permit_id": "c1:p"}, "permit_id"),
        ({"media_node": ""}, "media_node"),
        ({"event_ids": ()}, "event_ids"),
        ({"event_ids": ("x",) * 65}, "event_ids"),
    ],
)
def test_a_request_that_can_never_succeed_is_refused(change: dict[str, Any], says: str) -> None:
    """The refusal names the field."""
    fields = {"call": "c1", "permit_id": "c1:p0", "event_ids": ("x",), "media_node": "m", **change}
    with pytest.raises(admission.BadRequest, match=says):
        admission.check_request(admission.PermitRequest(**fields))
