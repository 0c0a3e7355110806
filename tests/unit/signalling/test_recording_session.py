"""A recording session's state machine: evidence, offers, pauses, who comes and goes, its ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.phase import Phase
from onrecord.signalling.domain.plan import PARTIES, Refusal
from onrecord.signalling.routes import SessionGate
from onrecord.sip.siprec import description, offer
from onrecord.sip.siprec.offer import RecordingOffer
from unit.signalling.sessions import (
    GREETING,
    TWO_LINES,
    WRITTEN,
    Driver,
    planned,
    update,
    with_body,
)
from unit.siprec.offers import read, request

METADATA = b"""<recording><datamode>%s</datamode>%s</recording>"""


def metadata(*people: str) -> RecordingOffer:
    """An update that names these people, the first two as senders of the lines 1 and 2."""
    inner = "<session session_id='s'/>"
    for number, person in enumerate(people, start=1):
        inner += (
            f"<participant participant_id='{person}'>"
            f"<nameID aor='sip:{person}@example.com'/></participant>"
            f"<participantsessionassoc participant_id='{person}' session_id='s'/>"
            f"<stream stream_id='st{number}' session_id='s'><label>{number}</label></stream>"
            f"<participantstreamassoc participant_id='{person}'><send>st{number}</send>"
            "</participantstreamassoc>"
        )
    document = METADATA % (b"complete", inner.encode())
    read = offer.read(with_body("rfc7866", None, document))
    assert read.metadata == "present"
    return read


def joined(*people: str) -> Driver:
    """A session between these people that is being recorded because a system said so."""
    driver = Driver(invite=with_body("sems", TWO_LINES, b""), notices=(GREETING,))
    driver.opened()
    driver.redescribed(metadata(*people))
    for party in PARTIES:
        driver.state(party)
    driver.happen(on.PermitGranted("grant"))
    driver.happen(on.GateOpened())
    return driver


def test_what_is_published_opens_the_gate_at_the_answer() -> None:
    """Answered, described, both told in writing: the permit is asked for without a further word."""
    driver = Driver()
    driver.opened()
    order = [e.type for e in driver.all(do.Enter)]
    assert order == ["call.started", "policy.decided", "call.answered", "session.described",
                     "notice.given", "notice.given"]  # fmt: skip
    asked = driver.last(do.RequestPermit)
    assert {"x:notice.given:caller:0", "x:notice.given:agent:0"} <= set(asked.event_ids)
    assert {fact["grade"] for fact in driver.facts("notice.given")} == {"D"}
    assert driver.directions == ["recvonly", "recvonly"]
    driver.happen(on.PermitGranted("grant"))
    assert driver.last(do.OpenGate).grant == "grant"
    driver.happen(on.GateOpened())
    assert (driver.session.phase, driver.session.gate) == (Phase.RECORDING, "opened")


def test_without_evidence_nothing_is_asked_for_and_the_end_says_so() -> None:
    """No notice names the line: no permit is asked for, `call.ended` names the lack."""
    driver = Driver(notices=(GREETING,))
    driver.opened()
    driver.happen(on.HungUp("caller"))
    assert not driver.all(do.RequestPermit)
    (ended,) = driver.facts("call.ended")
    assert (ended["gate"], ended["cause"], ended["answered"]) == (
        "no_notice",
        "client_hung_up",
        True,
    )


def test_one_party_told_is_not_enough() -> None:
    """The permit is asked for when the second party was told, with the positions on record."""
    driver = Driver(notices=(GREETING,))
    driver.opened()
    driver.state("caller", 10)
    assert not driver.all(do.RequestPermit)
    driver.state("agent", 15)
    assert driver.all(do.RequestPermit)
    given = driver.facts("notice.given")
    assert [fact["received"][0]["position"]["sequence"] for fact in given] == [10, 15]
    assert {(fact["grade"], fact["stated_by"]) for fact in given} == {("C", "ivr")}


def test_the_same_statement_again_is_the_same_fact() -> None:
    """A system that repeats itself adds nothing."""
    driver = Driver(notices=(GREETING,))
    driver.opened()
    driver.state("caller")
    assert driver.session.evidence.standing("caller", GREETING) == "x:notice.given:caller:0"
    assert driver.state("caller", 99) == []


def test_an_inactive_line_is_opened_by_our_reinvite_when_the_permit_is_there() -> None:
    """RFC 7866 figure 7: answered `inactive`, later offered `recvonly`, in a next version."""
    driver = Driver(gate="inactive")
    driver.opened()
    assert driver.directions == ["inactive", "inactive"]
    driver.happen(on.PermitGranted("grant"))
    driver.happen(on.GateOpened())
    assert not driver.all(do.Reoffer)  # it would cross the ACK
    driver.happen(on.Acknowledged("caller", b""))
    assert driver.directions == ["recvonly", "recvonly"]
    assert b" 2 IN IP4" in driver.last(do.Reoffer).body.split(b"\r\n")[1]


def test_a_reinvite_that_crosses_theirs_is_sent_again_later() -> None:
    """491, and the wait of RFC 3261 §14.1; not if their own offer has brought us there already."""
    driver = Driver(gate="inactive").recording()
    driver.happen(on.ReofferRefused("caller", 491))
    assert driver.all(do.ReofferLater)
    driver.happen(on.ReofferDue())
    assert len(driver.all(do.Reoffer)) == 2
    driver.happen(on.ReofferRefused("caller", 491))
    driver.redescribed(driver.offered())
    driver.happen(on.ReofferDue())
    assert len(driver.all(do.Reoffer)) == 2
    assert driver.directions == ["recvonly", "recvonly"]


@pytest.mark.parametrize("gate", ["memory", "inactive"])
def test_the_client_pauses_and_goes_on(gate: SessionGate) -> None:
    """All lines inactive: the gate shuts at once; sendonly again: a new permit, then it opens."""
    driver = Driver(gate=gate).recording()
    offers = len(driver.all(do.Reoffer))
    made = driver.redescribed(driver.offered("inactive"))
    assert [e.cause for e in made if isinstance(e, do.PauseMedia)] == ["client_paused"]
    assert (driver.session.phase, driver.directions) == (Phase.PAUSED, ["inactive"] * 2)
    assert len(driver.all(do.Reoffer)) == offers
    made = driver.redescribed(driver.offered())
    assert [e.number for e in made if isinstance(e, do.RequestPermit)] == [1]
    driver.happen(on.PermitGranted("grant"))
    driver.happen(on.GateOpened())
    assert driver.session.phase is Phase.RECORDING


@pytest.mark.parametrize("change", [{"direction": "inactive"}, {"port": 0}])
def test_one_line_that_stops_is_kept_no_longer(change: dict[str, Any]) -> None:
    """Whatever the client goes on sending there: the next permit names the other line alone."""
    driver = Driver().recording()
    first, second = driver.offered().media
    stopped = replace(second, media=replace(second.media, **change))
    made = driver.redescribed(RecordingOffer((first, stopped), "absent"))
    assert [e.cause for e in made if isinstance(e, do.PauseMedia)] == ["stream_stopped"]
    assert [e.number for e in made if isinstance(e, do.RequestPermit)] == [1]
    latest: Any = driver.facts("session.described")[-1]["streams"]
    assert [stream["leg"] for stream in latest if not stream["is_paused"]] == ["stream-0"]
    driver.happen(on.PermitGranted("grant"))
    driver.happen(on.GateOpened())
    made = driver.redescribed(driver.offered())
    if change.get("port") == 0:  # the recorder is told of it anew, which the answer waits for
        made += driver.opened()
    assert [e.cause for e in made if isinstance(e, do.PauseMedia)] == ["stream_added"]
    assert [e.number for e in made if isinstance(e, do.RequestPermit)] == [2]
    latest = driver.facts("session.described")[-1]["streams"]
    assert [stream["is_paused"] for stream in latest] == [False, False]


def test_a_participants_wish_in_the_offer_is_heeded() -> None:
    """`a=recordpref:off` keeps nothing until it is taken back (RFC 7866 §7.1.3)."""
    driver = Driver().recording()
    wish = tuple(replace(line, recordpref="off") for line in driver.offered().media)
    driver.redescribed(RecordingOffer(wish, "absent"))
    assert driver.last(do.PauseMedia).cause == "recordpref"
    driver.redescribed(driver.offered())
    assert len(driver.all(do.RequestPermit)) == 2


@pytest.mark.parametrize("gate", ["memory", "inactive"])
def test_somebody_of_ours_pauses(gate: SessionGate) -> None:
    """The recorder's gate shuts; only where media was asked for is the client asked to stop it."""
    driver = Driver(gate=gate).recording()
    offers = len(driver.all(do.Reoffer))
    driver.happen(on.PauseAsked("card_data", "agent", "a1"))
    assert driver.last(do.PauseMedia) == do.PauseMedia("card_data", "agent", "a1")
    assert len(driver.all(do.Reoffer)) - offers == (gate == "inactive")
    driver.redescribed(driver.offered())
    assert driver.session.phase is Phase.PAUSED
    driver.happen(on.ResumeAsked())
    driver.happen(on.PermitGranted("grant"))
    driver.happen(on.GateOpened())
    assert driver.last(do.ResumeOutcome).reason == ""
    assert driver.directions == ["recvonly"] * 2


def test_resuming_while_the_client_pauses_is_told_why_not() -> None:
    """Who asks hears what stands in the way, and that it did not resume."""
    driver = Driver().recording()
    driver.happen(on.PauseAsked("card_data", "agent", "a1"))
    driver.redescribed(driver.offered("inactive"))
    driver.happen(on.ResumeAsked())
    assert driver.last(do.ResumeOutcome).reason == "client_paused"


def test_a_stream_that_is_added_needs_a_permit_of_its_own() -> None:
    """Oracle sends one line before the answer and both after it: the second is not kept unseen."""
    driver = Driver("oracle_before_answer").recording()
    made = driver.redescribed(read("oracle"))
    asked = next(e for e in made if isinstance(e, do.OpenStreams))
    assert "stream-1" in {stream.leg for stream in asked.streams}
    made = driver.opened()
    assert {e.cause for e in made if isinstance(e, do.PauseMedia)} <= {
        "stream_added",
        "party_joined",
    }
    assert driver.last(do.RequestPermit).number == 1
    legs = [s["leg"] for s in driver.facts("session.described")[-1]["streams"]]
    assert legs == ["stream-0", "stream-1"]


def test_a_stream_that_the_recorder_cannot_take_is_refused_and_the_rest_goes_on() -> None:
    """503 to the re-INVITE: the session stays as it was."""
    driver = Driver("oracle_before_answer").recording()
    driver.redescribed(read("oracle"))
    made = driver.happen(on.StreamsFailed())
    assert made == [do.Refuse("caller", 503)]
    assert driver.session.phase is Phase.RECORDING


def test_who_comes_in_has_not_been_told() -> None:
    """A transfer: the gate shuts until a system says that the new one was told as well."""
    driver = joined("alice", "bob")
    made = driver.redescribed(metadata("alice", "carol"))
    assert [e.cause for e in made if isinstance(e, do.PauseMedia)] == ["party_joined"]
    assert [fact["party"] for fact in driver.facts("party.joined")] == ["agent"]
    assert not [e for e in made if isinstance(e, do.RequestPermit)]
    made = driver.state("agent", 90)
    assert [e.number for e in made if isinstance(e, do.RequestPermit)] == [1]
    assert "x:notice.given:agent:1" in driver.last(do.RequestPermit).event_ids


def test_who_comes_in_was_told_in_writing_like_everybody() -> None:
    """What is published counts for the new one too: it is stated again and asked again."""
    driver = Driver(invite=with_body("sems", TWO_LINES, b"")).recording()
    driver.redescribed(metadata("alice", "bob"))
    driver.redescribed(metadata("alice", "carol"))
    assert driver.last(do.RequestPermit).number == 1
    assert [f["party"] for f in driver.facts("notice.given")] == ["caller", "agent", "agent"]


def test_without_anybody_of_ours_nothing_is_kept() -> None:
    """The agent's side is empty: the gate shuts, and no permit is asked for (I12)."""
    driver = joined("alice", "bob")
    made = driver.redescribed(metadata("alice"))
    assert [e.cause for e in made if isinstance(e, do.PauseMedia)] == ["no_own_party"]
    assert [fact["party"] for fact in driver.facts("party.left")] == ["agent"]
    driver.happen(on.ResumeAsked())
    assert driver.last(do.ResumeOutcome).reason == "no_own_party"


def test_new_ids_for_the_same_people_are_nobody_new() -> None:
    """A client that restarts its metadata gives new ids; the addresses say who it is."""
    driver = joined("alice", "bob")
    again = metadata("alice", "bob")
    driver.redescribed(again)
    driver.redescribed(again)
    assert not driver.facts("party.joined")
    assert driver.session.phase is Phase.RECORDING


def test_a_party_who_comes_while_the_permit_is_under_way_makes_it_worthless() -> None:
    """The permit that was asked for before is not used; one is asked for with what is true now."""
    driver = Driver(invite=with_body("sems", TWO_LINES, b""))
    driver.opened()
    driver.redescribed(metadata("alice", "bob"))
    driver.redescribed(metadata("alice", "carol"))
    driver.happen(on.PermitGranted("old"))
    assert not driver.all(do.OpenGate)
    assert driver.last(do.RequestPermit).number == 1
    driver.happen(on.PermitGranted("new"))
    assert driver.last(do.OpenGate).grant == "new"


def test_a_pause_while_the_gate_opens_shuts_it_behind_the_permit() -> None:
    """The recorder gets Pause after Record, and recording is not said to have begun."""
    driver = Driver()
    driver.opened()
    driver.happen(on.PermitGranted("grant"))
    driver.redescribed(driver.offered("inactive"))
    assert driver.all(do.PauseMedia)
    driver.happen(on.GateOpened())
    assert driver.session.phase is Phase.PAUSED


@pytest.mark.parametrize("outage", ["ledger_unavailable", "permit_refused"])
def test_a_refused_permit_is_asked_for_again_with_the_next_statement(outage: str) -> None:
    """Nothing is kept meanwhile; the end says what it was."""
    driver = Driver(notices=(GREETING,))
    driver.opened()
    driver.state("caller")
    driver.state("agent")
    driver.happen(on.Failed(outage))  # type: ignore[arg-type]
    assert driver.session.gate_so_far == outage
    driver.session.evidence.forget("agent")
    driver.state("agent")
    assert driver.last(do.RequestPermit).number == 1


def test_an_objection_ends_the_recording_for_good() -> None:
    """The recorder stops, whatever is under way; no later word opens it again."""
    driver = Driver(gate="inactive").recording()
    driver.happen(on.Objected("caller", "spoken"))
    assert driver.last(do.StopMedia).cause == "objection"
    assert driver.directions == ["inactive"] * 2
    assert not [e for e in driver.state("agent") if isinstance(e, do.RequestPermit)]
    assert driver.session.phase is Phase.UNRECORDED


def test_an_update_of_metadata_alone_is_answered_without_a_description() -> None:
    """UPDATE or re-INVITE with metadata and no SDP: the streams stay as they are."""
    driver = Driver("oracle").recording()
    made = driver.redescribed(update("avaya"))
    assert made[0] == do.Answer("caller", b"")
    assert len(driver.facts("session.described")) == 2


def test_a_reinvite_without_an_offer_is_answered_with_ours() -> None:
    """A delayed offer inside the session: what was agreed is offered again, unchanged."""
    driver = Driver("oracle").recording()
    first = driver.last(do.Answer).body
    made = driver.redescribed(RecordingOffer((), "absent"), asks_offer=True)
    assert made == [do.Answer("caller", first)]


def test_one_participant_is_a_session_too() -> None:
    """An IVR: one person, the machine on the other side; both sides are told all the same."""
    driver = Driver(invite=with_body("sems", TWO_LINES, b"")).recording()
    driver.redescribed(metadata("alice"))
    assert driver.session.phase is Phase.RECORDING
    assert [fact["party"] for fact in driver.facts("notice.given")] == ["caller", "agent"]


def test_a_client_that_makes_no_offer_is_made_one() -> None:
    """Two lines of either law in our 200; its ACK says what it sends, and that is what is kept."""
    driver = Driver(invite=with_body("sems", None, b"<recording/>"))
    driver.opened()
    offered = description.parse(driver.last(do.Answer).body)
    assert [line.media.formats for line in offered] == [("0", "8")] * 2
    assert driver.directions == ["recvonly"] * 2
    answer = TWO_LINES.replace(b"m=audio 4002", b"m=audio 0").replace(b"AVP 0", b"AVP 8")
    driver.happen(on.Acknowledged("caller", answer))
    driver.opened()
    assert len(driver.all(do.Answer)) == 1
    (stream,) = driver.facts("session.described")[-1]["streams"]
    assert (stream["leg"], stream["codec"]) == ("stream-0", "PCMA")


def test_an_answer_in_the_ack_without_a_usable_line_ends_the_session() -> None:
    """Nothing could ever be kept of it."""
    driver = Driver(invite=with_body("sems", None, b"<recording/>"))
    driver.opened()
    driver.happen(on.Acknowledged("caller", TWO_LINES.replace(b"AVP 0", b"AVP 18")))
    assert driver.all(do.HangUp)
    assert driver.facts("call.ended")[0]["cause"] == "not_acceptable"


def test_who_says_that_it_takes_no_update_is_not_sent_one() -> None:
    """Broken metadata of a client whose Allow leaves UPDATE out: it stays as it is."""
    invite = request("oracle_unquoted")
    invite.headers.set("Allow", "INVITE, ACK, BYE")
    driver = Driver(invite=invite)
    driver.opened()
    driver.happen(on.Acknowledged("caller", b""))
    assert not driver.all(do.AskSnapshot)


def test_a_refresh_changes_nothing() -> None:
    """A session timer's re-INVITE gets the same answer, version included."""
    driver = Driver("oracle").recording()
    first = driver.last(do.Answer).body
    driver.redescribed(read("oracle"))
    assert driver.last(do.Answer).body == first
    assert driver.session.phase is Phase.RECORDING


def test_broken_metadata_costs_nothing_but_is_asked_for_again() -> None:
    """Recorded all the same, quarantined with its hash; one request for all of it, no more."""
    driver = Driver("oracle_unquoted").recording()
    (described,) = driver.facts("session.described")
    assert (described["metadata"], described["fault"]) == ("quarantined", "not_well_formed")
    assert described["digest"] == read("oracle_unquoted").digest
    driver.happen(on.Acknowledged("caller", b""))
    driver.happen(on.Acknowledged("caller", b""))
    assert len(driver.all(do.AskSnapshot)) == 1


def test_a_change_to_what_never_came_is_asked_for_in_full() -> None:
    """The first document is a partial one: there is nothing that it could change."""
    first = with_body("sems", TWO_LINES, METADATA % (b"partial", b"<session session_id='s'/>"))
    driver = Driver(invite=first)
    driver.opened()
    driver.happen(on.Acknowledged("caller", b""))
    assert driver.all(do.AskSnapshot)


@pytest.mark.parametrize(
    ("happening", "status", "cause"),
    [
        (on.CallerCancelled(), 487, "client_cancelled"),
        (on.HungUp("caller"), 487, "client_cancelled"),
        (on.StreamsFailed(), 503, "media_unavailable"),
        (on.HangUpAsked("shutdown"), 480, "shutdown"),
    ],
)
def test_a_session_that_ends_before_its_answer(
    happening: on.Input, status: int, cause: str
) -> None:
    """Zero seconds are normal: one end, the media given back, and no verdict is due."""
    driver = Driver()
    driver.happen(happening)
    (ended,) = driver.facts("call.ended")
    assert (ended["answered"], ended["sip_code"], ended["cause"]) == (False, status, cause)
    assert driver.all(do.CloseMedia)
    assert driver.opened() == []


def test_what_cannot_be_lawfully_recorded_is_refused() -> None:
    """A purpose that no rule allows: 403, and no port was asked for."""
    plan = planned(request("oracle"), "memory", WRITTEN)
    assert not isinstance(plan, Refusal)
    driver = Driver()
    driver.session.plan = replace(plan, decision=replace(plan.decision, may_record=False))
    driver.effects = driver.session.begin(0)
    assert driver.last(do.Refuse).status == 403
    assert not driver.all(do.OpenStreams)


def test_more_streams_than_there_are_legs_are_refused_line_by_line() -> None:
    """Eight are taken, the rest has port 0; the session goes on."""
    lines = b"".join(b"m=audio %d RTP/AVP 0\r\n" % (4000 + 2 * n) for n in range(10))
    driver = Driver(invite=with_body("sems", TWO_LINES[: TWO_LINES.index(b"m=")] + lines))
    driver.opened()
    ports = [line.media.port for line in description.parse(driver.last(do.Answer).body)]
    assert [bool(port) for port in ports] == [True] * 8 + [False] * 2
    assert driver.facts("session.described")[0]["refused_lines"] == 2


INPUTS = st.sampled_from(
    [
        on.PermitGranted("g"),
        on.GateOpened(),
        on.Failed("ledger_unavailable"),
        on.StreamsFailed(),
        on.StreamsOpened(
            "media-1", {"stream-0": ("198.51.100.1", 1), "stream-1": ("198.51.100.1", 2)}
        ),
        on.Acknowledged("caller", b""),
        on.PauseAsked("card_data", "agent", "a"),
        on.ResumeAsked(),
        on.Objected("caller", "spoken"),
        on.ReofferAnswered("caller", b""),
        on.ReofferRefused("caller", 491),
        on.ReofferDue(),
        on.RecordingFailed(),
        on.HungUp("caller"),
        on.HangUpAsked("operator"),
        on.CallerCancelled(),
        "inactive",
        "sendonly",
        "alice bob",
        "alice carol",
        "alice",
        "caller",
        "agent",
    ]
)


@given(
    happenings=st.lists(INPUTS, max_size=25),
    gate=st.sampled_from(["memory", "inactive"]),
    published=st.booleans(),
)
def test_whatever_happens_the_gate_opens_only_for_who_was_told(
    happenings: list[object], gate: SessionGate, *, published: bool
) -> None:
    """One end at most, one answer to each offer, and no opening without evidence for both."""
    notices = (WRITTEN, GREETING) if published else (GREETING,)
    driver = Driver(invite=with_body("sems", TWO_LINES, b""), gate=gate, notices=notices)
    for happening in happenings:
        opened_before = len(driver.all(do.OpenGate))
        match happening:
            case "inactive" | "sendonly":
                driver.redescribed(driver.offered(str(happening)))
            case "caller" | "agent":
                driver.state(happening)
            case str():
                driver.redescribed(metadata(*happening.split()))
            case _:
                driver.happen(happening)  # type: ignore[arg-type]
        if len(driver.all(do.OpenGate)) > opened_before:
            assert driver.session.evidence.is_complete
    assert len(driver.facts("call.ended")) == (driver.session.phase is Phase.OVER)
