"""The call's state machine: every step, every failure, every way to end."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.contracts.registry import fact_class
from onrecord.policy import default_pack
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.call import Call
from onrecord.signalling.domain.phase import Phase
from onrecord.signalling.domain.plan import Office, Plan, Refusal, plan_call
from onrecord.signalling.routes import Emergency, OnNoPermit, Route, Routes
from onrecord.sip import sdp
from onrecord.sip.message import Request, parse
from onrecord.sip.sdp import Codec, LocalAudio
from onrecord.sip.uri import SipUri

PCMU, PCMA, G729 = Codec(0, "PCMU", 8000), Codec(8, "PCMA", 8000), Codec(18, "G729", 8000)
EVENTS = Codec(101, "telephone-event", 8000, fmtp="0-15")
TO = SipUri.parse("sip:192.0.2.20:5070")
NEXT = SipUri.parse("sip:192.0.2.21:5070")
OFFER = sdp.build_offer(LocalAudio("192.0.2.1", 4000, (G729, PCMA, PCMU, EVENTS), 1))
ANSWER = sdp.build_offer(LocalAudio("192.0.2.20", 6000, (PCMA, EVENTS), 2))
THERE = TO.with_user("1000")
OPENED = on.MediaOpened("media-1", ("198.51.100.1", 20000), ("198.51.100.1", 20002))
OUTAGES: tuple[on.Outage, ...] = (
    "media_unavailable",
    "announcement_unavailable",
    "notice_failed",
    "ledger_unavailable",
    "permit_refused",
)


def request(number: str = "1000", body: bytes = OFFER, more: str = "") -> Request:
    """An INVITE as it comes in, with more headers."""
    head = (
        f"INVITE sip:{number}@192.0.2.2 SIP/2.0\r\n"
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n"
        'From: "Alice" <sip:+442079460123@192.0.2.1>;tag=1\r\n'
        f"To: <sip:{number}@192.0.2.2>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n"
        f"Contact: <sip:a@192.0.2.1>\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    )
    message = parse(head.encode() + body)
    assert isinstance(message, Request)
    return message


def office(on_no_permit: OnNoPermit = "continue", targets: int = 1) -> Office:
    """A worker with one recorded line, one unrecorded, and 112."""
    routes = Routes(
        frozenset({"192.0.2.1"}),
        (
            Route("9", (TO,), record=False),
            Route("1", (TO, NEXT)[:targets], line="main", on_no_permit=on_no_permit),
        ),
        Emergency(("112", "999"), ("", "9"), (TO,)),
    )
    return Office(routes, default_pack(), "signalling-1")


def planned(
    number: str = "1000",
    body: bytes = OFFER,
    on_no_permit: OnNoPermit = "continue",
    targets: int = 1,
) -> Plan | Refusal:
    """Route a call."""
    where = office(on_no_permit, targets)
    return plan_call(where, "x", request(number, body), date(2026, 11, 23), 7)


class Driver:
    """One call and everything that it asked for, with a clock of its own."""

    def __init__(
        self,
        number: str = "1000",
        on_no_permit: OnNoPermit = "continue",
        *,
        body: bytes = OFFER,
        targets: int = 1,
    ) -> None:
        plan = planned(number, body, on_no_permit, targets)
        assert isinstance(plan, Plan)
        self.now = 0.0
        self.call = Call(plan)
        self.done: list[do.Effect] = self.call.begin(self.now)

    def feed(self, *happenings: on.Input) -> list[do.Effect]:
        """Let things happen one second apart; return what the last one caused."""
        effects: list[do.Effect] = []
        for happening in happenings:
            self.now += 1.0
            effects = self.call.handle(happening, self.now)
            self.done += effects
        return effects

    def until(self, phase: Phase) -> Driver:
        """Go the straight way to a phase of a recorded call."""
        for happening in STRAIGHT:
            if self.call.phase is phase:
                break
            self.feed(happening)
        assert self.call.phase is phase
        return self

    def kinds(self) -> list[type]:
        """Return the classes of all effects so far."""
        return [type(effect) for effect in self.done]

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return the facts entered so far; each fits its model."""
        entered = [effect for effect in self.done if isinstance(effect, do.Enter)]
        for effect in entered:
            fact_class(effect.type).model_validate(effect.fields)
        return {effect.type: effect.fields for effect in entered}


STRAIGHT: tuple[on.Input, ...] = (
    OPENED,
    on.AgentAnswered(ANSWER),
    on.MediaUpdated(),
    on.Acknowledged("caller", b""),
    on.NoticesGiven(("x:notice.given:caller:0", "x:notice.given:agent:0")),
    on.PermitGranted("grant"),
    on.GateOpened(),
)
ANSWERED = (Phase.ANSWERING, Phase.INFORMING, Phase.PERMITTING, Phase.GATING, Phase.RECORDING)


def test_the_straight_way() -> None:
    """Facts, recorder, agent, answer, notice, permit, gate: in this order."""
    driver = Driver().until(Phase.RECORDING)
    assert driver.kinds() == [
        do.Enter,
        do.Enter,
        do.OpenMedia,
        do.InviteAgent,
        do.WatchRinging,
        do.UpdateMedia,
        do.Answer,
        do.Enter,
        do.Announce,
        do.RequestPermit,
        do.OpenGate,
    ]
    assert driver.call.gate == "opened"


def test_the_agent_is_offered_only_what_the_caller_can_use() -> None:
    """The recorder's address, the caller's payload types, no codec that we do not relay."""
    driver = Driver().until(Phase.DIALLING)
    (invite,) = [effect for effect in driver.done if isinstance(effect, do.InviteAgent)]
    audio = sdp.parse(invite.body).audio
    assert (audio.address, audio.port) == OPENED.agent
    assert audio.codecs == (PCMA, PCMU, EVENTS)


def test_the_caller_is_answered_with_what_the_agent_took() -> None:
    """The relay never transcodes: both legs have the agent's codecs."""
    driver = Driver().until(Phase.ANSWERING)
    (answer,) = [effect for effect in driver.done if isinstance(effect, do.Answer)]
    audio = sdp.parse(answer.body).audio
    assert (audio.address, audio.port, audio.codecs) == (*OPENED.caller, (PCMA, EVENTS))
    assert driver.facts()["call.answered"]["legs"][0] == {"party": "caller", "codec": "PCMA"}


@pytest.mark.parametrize("body", [b"", b"v=0\r\n", ANSWER.replace(b"8 101", b"18")])
def test_an_unusable_answer_ends_the_call(body: bytes) -> None:
    """The agent is hung up and the caller gets 488."""
    driver = Driver().until(Phase.DIALLING)
    effects = driver.feed(on.AgentAnswered(body))
    assert effects[:3] == [do.Refuse("caller", 488), do.HangUp("agent"), do.CloseMedia()]
    assert driver.facts()["call.ended"]["answered"] is False


def test_early_media_goes_through_the_recorder() -> None:
    """183: joined for now, the caller told the recorder's address; the answer sets them apart."""
    driver = Driver().until(Phase.DIALLING)
    update, ring = driver.feed(on.AgentRinging(183, "Progress", ANSWER))
    assert isinstance(update, do.UpdateMedia)
    assert (update.bridge, update.is_awaited) == ("now", False)
    assert isinstance(ring, do.RingCaller)
    audio = sdp.parse(ring.body).audio
    assert (ring.status, audio.address, audio.port) == (183, *OPENED.caller)
    (answered,) = driver.feed(on.AgentAnswered(b""))
    assert isinstance(answered, do.UpdateMedia)
    assert (answered.bridge, answered.is_awaited) == ("after_notices", True)
    driver.feed(on.MediaUpdated(), on.Acknowledged("caller", b""))
    assert driver.done[-1] == do.Announce()


def test_the_answer_may_differ_from_the_early_media() -> None:
    """An announcement server first, the person in another codec afterwards."""
    driver = Driver().until(Phase.DIALLING)
    driver.feed(on.AgentRinging(183, "", ANSWER))
    person = sdp.build_offer(LocalAudio("192.0.2.30", 7000, (PCMU, EVENTS), 3))
    (update,) = driver.feed(on.AgentAnswered(person))
    assert isinstance(update, do.UpdateMedia)
    assert update.agent is not None
    assert update.caller is not None
    assert (update.agent.address, update.caller.codecs) == ("192.0.2.30", (PCMU, EVENTS))


def test_early_media_that_cannot_be_relayed_becomes_ringing() -> None:
    """The phone rings by itself; what is plain ringing stays as it was."""
    driver = Driver().until(Phase.DIALLING)
    nonsense = on.AgentRinging(183, "Progress", b"nonsense")
    assert driver.feed(nonsense) == [do.RingCaller(180, "", b"")]
    assert driver.feed(on.AgentRinging(181, "Forwarded", b"")) == [
        do.RingCaller(181, "Forwarded", b"")
    ]


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("phase", [Phase.INFORMING, Phase.PERMITTING, Phase.GATING])
def test_an_outage_after_the_answer_joins_the_parties(phase: Phase, outage: on.Outage) -> None:
    """`continue`: bridged at once, unrecorded, and the reason is kept for the end."""
    driver = Driver().until(phase)
    effects = driver.feed(on.Failed(outage))
    assert effects == [do.UpdateMedia(None, None, "now", is_awaited=False)]
    driver.feed(on.PermitGranted("late"), on.GateOpened(), on.NoticesGiven(()))
    assert driver.call.phase is Phase.UNRECORDED
    driver.feed(on.HungUp("caller"))
    assert driver.facts()["call.ended"]["gate"] == outage


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("phase", [Phase.INFORMING, Phase.PERMITTING, Phase.GATING])
def test_an_outage_after_the_answer_ends_a_strict_call(phase: Phase, outage: on.Outage) -> None:
    """`refuse`: both parties are hung up."""
    driver = Driver(on_no_permit="refuse").until(phase)
    effects = driver.feed(on.Failed(outage))
    assert effects[:3] == [do.HangUp("caller"), do.HangUp("agent"), do.CloseMedia()]
    ended = driver.facts()["call.ended"]
    assert (ended["gate"], ended["cause"]) == (outage, "recording_refused")


def test_without_a_recorder_the_call_passes_through() -> None:
    """`continue`: the agent gets the caller's own offer and the caller the agent's answer."""
    driver = Driver()
    effects = driver.feed(on.Failed("media_unavailable"))
    assert effects == [do.InviteAgent(THERE, OFFER), do.WatchRinging()]
    assert driver.feed(on.AgentAnswered(b"theirs"))[0] == do.Answer("caller", b"theirs")
    driver.feed(on.Acknowledged("caller", b""), on.HungUp("agent"))
    ended = driver.facts()["call.ended"]
    assert (ended["gate"], ended["cause"], ended["answered"]) == (
        "media_unavailable",
        "agent_hung_up",
        True,
    )


def test_without_a_recorder_a_strict_call_is_refused() -> None:
    """`refuse`: 503, and nobody is rung."""
    driver = Driver(on_no_permit="refuse")
    driver.feed(on.Failed("media_unavailable"))
    assert do.Refuse("caller", 503) in driver.done
    assert do.InviteAgent not in driver.kinds()


def test_a_policy_that_forbids_recording_is_obeyed() -> None:
    """may_record False: no recorder is opened; the route says what the call does."""
    plan = planned()
    assert isinstance(plan, Plan)
    assert plan.decision is not None
    plan = replace(plan, decision=replace(plan.decision, may_record=False, refused_by="R"))
    call = Call(plan)
    kinds = [type(effect) for effect in call.begin(0.0)]
    assert kinds == [do.Enter, do.Enter, do.InviteAgent, do.WatchRinging]
    assert call.gate == "permit_refused"


def redirected() -> Driver:
    """A call whose recorder was lost when the agent answered; the agent is asked to go direct."""
    driver = Driver().until(Phase.CONNECTING)
    driver.feed(on.Failed("media_unavailable"))
    return driver


def test_a_recorder_lost_before_the_answer_is_left_out() -> None:
    """`continue`: the agent is offered the caller's own media as our next version (RFC 3264 §8)."""
    driver = redirected()
    reoffer = driver.done[-1]
    assert isinstance(reoffer, do.Reoffer)
    assert (reoffer.party, sdp.parse(reoffer.body)) == ("agent", sdp.parse(OFFER))
    assert b"o=- 7 2 IN IP4 198.51.100.1\r\n" in reoffer.body
    assert driver.feed(on.ReofferAnswered("agent", b"theirs"))[0] == do.Answer("caller", b"theirs")
    driver.feed(on.Acknowledged("caller", b""), on.HungUp("caller"))
    ended = driver.facts()["call.ended"]
    assert (ended["gate"], ended["answered"]) == ("media_unavailable", True)
    assert do.Announce not in driver.kinds()


def test_an_agent_that_does_not_go_direct_ends_the_call() -> None:
    """503 for the caller, BYE for the agent; its own offer meanwhile waits (491)."""
    driver = redirected()
    assert driver.feed(on.Reoffered("agent", OFFER)) == [do.Refuse("agent", 491)]
    effects = driver.feed(on.ReofferRefused("agent", 488))
    assert effects[:2] == [do.Refuse("caller", 503), do.HangUp("agent")]


def test_a_recorder_lost_before_the_answer_ends_a_strict_call() -> None:
    """`refuse`: hang up, 503."""
    driver = Driver(on_no_permit="refuse").until(Phase.CONNECTING)
    driver.feed(on.Failed("media_unavailable"))
    assert [e for e in driver.done if isinstance(e, do.Refuse | do.HangUp)] == [
        do.Refuse("caller", 503),
        do.HangUp("agent"),
    ]
    assert driver.facts()["call.ended"]["gate"] == "media_unavailable"


@pytest.mark.parametrize("phase", ANSWERED)
@pytest.mark.parametrize(("party", "other"), [("caller", "agent"), ("agent", "caller")])
def test_a_hang_up_ends_both_sides(phase: Phase, party: on.Party, other: on.Party) -> None:
    """In every phase after the answer: the other side is hung up, the recorder closed."""
    driver = Driver().until(phase)
    effects = driver.feed(on.HungUp(party))
    assert effects[:2] == [do.HangUp(other), do.CloseMedia()]
    assert effects[-1] == do.Finish()
    ended = driver.facts()["call.ended"]
    assert (ended["cause"], ended["answered"]) == (f"{party}_hung_up", True)
    assert ended["talk_seconds"] > 0
    assert (ended["gate"] == "opened") == (phase is Phase.RECORDING)


@pytest.mark.parametrize(
    "phase", [Phase.ANSWERING, Phase.INFORMING, Phase.PERMITTING, Phase.GATING]
)
def test_who_hangs_up_before_the_gate_is_the_reason(phase: Phase) -> None:
    """No service is blamed for a step that the end of the call cut short."""
    driver = Driver().until(phase)
    driver.feed(on.HungUp("caller"))
    assert driver.facts()["call.ended"]["gate"] == "call_ended"


def test_a_service_that_failed_stays_the_reason() -> None:
    """The party that hangs up afterwards does not cover the failure."""
    driver = Driver().until(Phase.PERMITTING)
    driver.feed(on.Failed("ledger_unavailable"), on.HungUp("caller"))
    assert driver.facts()["call.ended"]["gate"] == "ledger_unavailable"


@pytest.mark.parametrize("phase", [Phase.OPENING, Phase.DIALLING, Phase.CONNECTING])
def test_a_cancel_ends_the_call(phase: Phase) -> None:
    """Before the answer: the agent's leg is ended, whatever its state."""
    driver = Driver().until(phase)
    driver.feed(on.CallerCancelled())
    ended = driver.facts()["call.ended"]
    assert (ended["cause"], ended["sip_code"], ended["gate"]) == (
        "caller_cancelled",
        487,
        "not_asked",
    )


@pytest.mark.parametrize(
    ("status", "passed", "cause"),
    [
        (486, 486, "busy"),
        (480, 480, "no_answer"),
        (603, 603, "declined"),
        (500, 500, "refused"),
        (302, 502, "refused"),
        (407, 502, "refused"),
    ],
)
def test_the_agents_refusal_is_passed_on(status: int, passed: int, cause: str) -> None:
    """As it is, but for redirections and challenges, which only we could follow."""
    driver = Driver().until(Phase.DIALLING)
    refusal, *_ = driver.feed(on.AgentRefused(status, "Why"))
    assert isinstance(refusal, do.Refuse)
    assert refusal.status == passed
    assert driver.facts()["call.ended"]["cause"] == cause


def test_ringing_too_long_is_no_answer() -> None:
    """480 for the caller, CANCEL for the agent."""
    driver = Driver().until(Phase.DIALLING)
    assert driver.feed(on.RangTooLong())[:2] == [do.Refuse("caller", 480), do.HangUp("agent")]


def test_an_emergency_call_may_ring_for_ever() -> None:
    """It is never refused by a timer of ours."""
    driver = Driver("112")
    assert driver.feed(on.RangTooLong()) == []
    assert driver.call.phase is Phase.DIALLING


@pytest.mark.parametrize(
    ("number", "kind"), [("112", "emergency"), ("9112", "emergency"), ("9", "unrecorded")]
)
def test_calls_without_recording_ask_nobody(number: str, kind: str) -> None:
    """No policy, no recorder, no numbers; the description goes through as it is."""
    driver = Driver(number)
    assert do.InviteAgent(TO.with_user(number), OFFER) in driver.done
    driver.feed(on.AgentRinging(183, "P", b"early"), on.AgentAnswered(b"theirs"))
    assert do.RingCaller(183, "P", b"early") in driver.done
    assert do.Answer("caller", b"theirs") in driver.done
    driver.feed(on.Acknowledged("caller", b""), on.HungUp("caller"))
    facts = driver.facts()
    assert list(facts) == ["call.started", "call.answered", "call.ended"]
    assert facts["call.started"]["kind"] == kind
    assert not [name for name in facts["call.started"] if "number" in name or "name" in name]
    assert facts["call.ended"]["gate"] == "not_asked"
    assert do.CloseMedia not in driver.kinds()


def test_the_line_that_we_relay_need_not_be_the_first() -> None:
    """Two audio lines, wideband in the first: the second is taken, in its place."""
    wideband = b"m=audio 4100 RTP/AVP 98\r\na=rtpmap:98 opus/48000/2\r\n"
    driver = Driver(body=OFFER.replace(b"m=audio", wideband + b"m=audio", 1))
    driver.feed(OPENED, on.AgentAnswered(ANSWER), on.MediaUpdated())
    answer = next(effect for effect in driver.done if isinstance(effect, do.Answer))
    assert [line.port for line in sdp.parse(answer.body).media] == [0, 20000]


@pytest.mark.parametrize(
    ("offered", "answered", "told"),
    [
        ("sendonly", "recvonly", "recvonly"),
        ("sendonly", "sendrecv", "recvonly"),  # an agent that passes over what was offered
        ("inactive", "inactive", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendrecv", "inactive", "inactive"),
    ],
)
def test_who_does_not_listen_is_not_told(offered: str, answered: str, told: str) -> None:
    """A call that begins on hold: no notice would be heard, so nothing is played and kept."""
    driver = Driver(body=OFFER.replace(b"sendrecv", offered.encode()))
    answer = ANSWER.replace(b"sendrecv", answered.encode())
    driver.feed(OPENED, on.AgentAnswered(answer), on.MediaUpdated())
    answers = [effect.body for effect in driver.done if isinstance(effect, do.Answer)]
    assert sdp.parse(answers[0]).audio.direction == told
    driver.feed(on.Acknowledged("caller", b""))
    assert do.Announce not in driver.kinds()
    assert driver.call.phase is Phase.UNRECORDED
    assert driver.call.gate == "notice_failed"


@pytest.mark.parametrize("service", ["urn:service:sos", "URN:Service:SOS.ambulance"])
def test_an_emergency_service_is_called_by_the_first_number(service: str) -> None:
    """RFC 5031: a phone that knows no local number still connects, to a hop that knows no URN."""
    invite = request()
    invite.uri = SipUri.parse(service)
    plan = plan_call(office(), "x", invite, date(2026, 11, 23), 7)
    assert isinstance(plan, Plan)
    assert plan.kind == "emergency"
    assert plan.targets == (TO.with_user("112"),)


def test_an_emergency_call_needs_no_readable_offer() -> None:
    """Emergency numbers are matched before the description is read; anything passes through."""
    for body in (b"", b"nonsense"):
        plan = planned("112", body)
        assert isinstance(plan, Plan)
        call = Call(plan)
        call.begin(0.0)
        call.handle(on.AgentAnswered(b"offer"), 1.0)
        acknowledged = call.handle(on.Acknowledged("caller", b"answer"), 2.0)
        assert acknowledged == ([] if body else [do.Acknowledge("agent", b"answer")])


def test_recorded_calls_have_sealed_numbers() -> None:
    """The caller's number and name, and the number dialled, go into call.started."""
    started = Driver().facts()["call.started"]
    assert (started["caller_number"], started["caller_name"], started["callee_number"]) == (
        "+442079460123",
        "Alice",
        "1000",
    )


@pytest.mark.parametrize(
    ("number", "body", "status", "reason"),
    [
        ("5", OFFER, 404, "no_route"),
        ("1", OFFER.replace(b"m=audio", b"m=video"), 488, "no_audio"),
        ("1", sdp.build_offer(LocalAudio("192.0.2.1", 4, (G729,), 1)), 488, "no_common_codec"),
        ("1", OFFER.replace(b"IP4 192.0.2.1", b"IP4 0.0.0.0"), 488, "on_hold"),
    ],
)
def test_what_cannot_be_routed_is_refused(
    number: str, body: bytes, status: int, reason: str
) -> None:
    """With the status for the caller and a slug for the log."""
    assert planned(number, body) == Refusal(status, reason)


def test_pause_and_resume() -> None:
    """A pause acts at once; going on needs a new permit with the same evidence."""
    driver = Driver().until(Phase.RECORDING)
    assert driver.feed(on.PauseAsked("card_data", "agent", "a")) == [
        do.PauseMedia("card_data", "agent", "a")
    ]
    (again,) = driver.feed(on.ResumeAsked())
    assert isinstance(again, do.RequestPermit)
    assert again.number == 1
    assert "x:notice.given:caller:0" in again.event_ids
    driver.feed(on.PermitGranted("g"))
    assert driver.feed(on.GateOpened()) == [do.ResumeOutcome("")]
    assert driver.call.phase is Phase.RECORDING


def test_a_resume_that_fails_stays_paused() -> None:
    """No second permit: the call goes on unkept, also on a strict route."""
    driver = Driver(on_no_permit="refuse").until(Phase.RECORDING)
    driver.feed(on.PauseAsked("other", "agent", ""), on.ResumeAsked())
    assert driver.feed(on.Failed("permit_refused")) == [do.ResumeOutcome("permit_refused")]
    assert driver.call.phase is Phase.PAUSED
    assert Driver().until(Phase.INFORMING).feed(on.ResumeAsked()) == [
        do.ResumeOutcome("not_paused")
    ]


@pytest.mark.parametrize(
    "phase", [Phase.INFORMING, Phase.PERMITTING, Phase.GATING, Phase.RECORDING]
)
def test_an_objection_stops_for_good(phase: Phase) -> None:
    """Before the gate it stays shut; after it, it closes; a late permit opens nothing."""
    driver = Driver().until(phase)
    effects = driver.feed(on.Objected("caller", "spoken"))
    assert do.StopMedia("objection") in effects
    assert driver.feed(on.PermitGranted("late"), on.GateOpened(), on.ResumeAsked()) == [
        do.ResumeOutcome("not_paused")
    ]
    assert driver.call.phase is Phase.UNRECORDED


@pytest.mark.parametrize("phase", [Phase.OPENING, Phase.DIALLING, Phase.ANSWERING])
def test_an_objection_before_the_notice_is_heeded(phase: Phase) -> None:
    """Nobody is asked for a permit after it."""
    driver = Driver().until(phase)
    driver.feed(on.Objected("caller", "api"))
    driver.feed(*STRAIGHT)
    assert not {do.Announce, do.RequestPermit, do.OpenGate} & set(driver.kinds())
    assert driver.call.gate == "permit_refused"


def test_failed_recording_follows_the_route() -> None:
    """`continue` goes on, `refuse` hangs up both."""
    goes_on = Driver().until(Phase.RECORDING)
    assert goes_on.feed(on.RecordingFailed()) == []
    assert goes_on.call.phase is Phase.UNRECORDED
    ends = Driver(on_no_permit="refuse").until(Phase.RECORDING)
    ends.feed(on.RecordingFailed())
    assert ends.facts()["call.ended"]["cause"] == "recording_failed"


def test_a_refresh_changes_nothing() -> None:
    """With a recorder between: a refresh gets the same answer again, nonsense gets 488."""
    driver = Driver().until(Phase.RECORDING)
    (answer,) = [effect for effect in driver.done if isinstance(effect, do.Answer)]
    assert driver.feed(on.Reoffered("caller", OFFER)) == [do.Answer("caller", answer.body)]
    assert driver.feed(on.Reoffered("agent", b"nonsense")) == [do.Refuse("agent", 488)]


def test_reinvites_pass_through_without_a_recorder() -> None:
    """Offer to the other side, its answer or refusal back."""
    driver = Driver("112")
    driver.feed(on.AgentAnswered(b"a"), on.Acknowledged("caller", b""))
    assert driver.feed(on.Reoffered("caller", b"o")) == [do.Reoffer("agent", b"o")]
    assert driver.feed(on.ReofferAnswered("agent", b"b")) == [do.Answer("caller", b"b")]
    driver.feed(on.Reoffered("agent", b"p"))
    assert driver.feed(on.Reoffered("caller", b"q")) == [do.Refuse("caller", 491)]
    assert driver.feed(on.ReofferRefused("caller", 488)) == [do.Refuse("agent", 488)]
    assert driver.feed(on.Reoffered("caller", b"")) == [do.Reoffer("agent", b"")]
    assert driver.feed(on.ReofferAnswered("agent", b"o")) == [do.Answer("caller", b"o")]
    assert driver.feed(on.Acknowledged("caller", b"a")) == [do.Acknowledge("agent", b"a")]
    assert driver.feed(on.Acknowledged("caller", b"")) == []


def test_operator_ends_the_call() -> None:
    """HangUp ends both sides after the answer, and refuses the caller before it."""
    assert Driver().until(Phase.RECORDING).feed(on.HangUpAsked())[:2] == [
        do.HangUp("caller"),
        do.HangUp("agent"),
    ]
    assert Driver().until(Phase.DIALLING).feed(on.HangUpAsked())[0] == do.Refuse("caller", 480)


def effect_is(effect: do.Effect, fact: str) -> bool:
    """Whether this enters a fact of the type."""
    return isinstance(effect, do.Enter) and effect.type == fact


HAPPENINGS: tuple[on.Input, ...] = (
    *STRAIGHT,
    *(on.Failed(outage) for outage in OUTAGES),
    on.AgentRinging(180, "", b""),
    on.AgentRefused(486, ""),
    on.CallerCancelled(),
    on.HungUp("caller"),
    on.HungUp("agent", is_lost=True),
    on.Reoffered("caller", OFFER),
    on.Reoffered("agent", b""),
    on.Reoffered("agent", ANSWER.replace(b"sendrecv", b"sendonly")),
    on.Acknowledged("agent", ANSWER.replace(b"sendrecv", b"inactive")),
    on.ReofferAnswered("caller", OFFER.replace(b"sendrecv", b"recvonly")),
    on.ReofferAnswered("agent", ANSWER),
    on.ReofferRefused("agent", 488),
    on.RangTooLong(),
    on.Objected("agent", "key"),
    on.PauseAsked("other", "agent", ""),
    on.ResumeAsked(),
    on.RecordingFailed(),
    on.HangUpAsked(),
)


@given(
    st.lists(st.sampled_from(HAPPENINGS), max_size=30),
    st.sampled_from(["1000", "9000", "112"]),
    st.sampled_from(["continue", "refuse"]),
)
def test_any_order_of_events_keeps_the_promises(
    happenings: list[on.Input], number: str, on_no_permit: OnNoPermit
) -> None:
    """The gate is asked to open only with a permit in hand; a call ends once, with valid facts."""
    driver = Driver(number, on_no_permit)
    driver.feed(*happenings, on.HangUpAsked())
    driver.feed(*STRAIGHT)
    facts = driver.facts()
    kinds = driver.kinds()
    assert kinds.count(do.Finish) == 1
    assert kinds.index(do.Finish) == len(kinds) - 1
    assert sum(isinstance(e, do.Enter) and e.type == "call.ended" for e in driver.done) == 1
    granted = sum(isinstance(happening, on.PermitGranted) for happening in happenings)
    assert kinds.count(do.OpenGate) <= min(granted, kinds.count(do.RequestPermit))
    objected = [n for n, effect in enumerate(driver.done) if effect_is(effect, "objection.made")]
    assert do.OpenGate not in kinds[min(objected, default=len(kinds)) :]
    if number != "1000":
        assert facts["call.ended"]["gate"] == "not_asked"
        assert not {do.OpenMedia, do.OpenGate, do.Announce, do.RequestPermit} & set(kinds)
    if facts["call.ended"]["gate"] == "opened":
        assert do.OpenGate in kinds
