"""Offers inside a recorded call: hold and retrieve as one story, new addresses, who must wait."""

from __future__ import annotations

import pytest
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.phase import Phase
from onrecord.sip import sdp
from onrecord.sip.sdp import LocalAudio, Media
from unit.signalling.test_call import ANSWER, EVENTS, OFFER, OPENED, PCMA, PCMU, Driver

HELD = ("sendonly", "inactive")
ROLES = {"agent": "agent", "caller": "customer"}
OTHER: dict[Party, Party] = {"agent": "caller", "caller": "agent"}
OURS: dict[Party, tuple[str, int]] = {"agent": OPENED.agent, "caller": OPENED.caller}
PLACES = {"caller": ("192.0.2.1", 4000), "agent": ("192.0.2.20", 6000)}


def says(party: Party, direction: str = "sendrecv", *, version: int = 9, port: int = 0) -> bytes:
    """What a party describes later in the call."""
    host, usual = PLACES[party]
    local = LocalAudio(host, port or usual, (PCMA, EVENTS), 2, version, direction)
    return sdp.build_offer(local)


def only(effects: list[do.Effect], kind: type) -> do.Effect:
    """Return the one effect of a kind."""
    (found,) = [effect for effect in effects if isinstance(effect, kind)]
    return found


def described(effect: do.Effect) -> Media:
    """Return the audio line of what a party is told."""
    assert isinstance(effect, do.Answer | do.Reoffer)
    return sdp.parse(effect.body).audio


def holds(driver: Driver, party: Party, direction: str = "sendonly") -> list[do.Effect]:
    """Let a party put the other on hold; return all that it caused."""
    asked = driver.feed(on.Reoffered(party, says(party, direction)))
    mirrored = "recvonly" if direction == "sendonly" else "inactive"
    answered = driver.feed(on.ReofferAnswered(OTHER[party], says(OTHER[party], mirrored)))
    return asked + answered


def retrieves(driver: Driver, party: Party) -> list[do.Effect]:
    """Let a party take the other back; return all that it caused."""
    asked = driver.feed(on.Reoffered(party, says(party)))
    return asked + driver.feed(on.ReofferAnswered(OTHER[party], says(OTHER[party])))


@pytest.mark.parametrize("direction", HELD)
@pytest.mark.parametrize("party", ["agent", "caller"])
def test_a_hold_is_passed_on_and_nothing_is_kept(party: Party, direction: str) -> None:
    """The gate shuts when the hold is asked for, not when the other side has agreed."""
    driver = Driver().until(Phase.RECORDING)
    pause, reoffer = driver.feed(on.Reoffered(party, says(party, direction)))
    assert pause == do.PauseMedia("hold", ROLES[party], "")
    media = described(reoffer)
    assert (media.direction, (media.address, media.port)) == (direction, OURS[OTHER[party]])
    mirrored = "recvonly" if direction == "sendonly" else "inactive"
    body = says(OTHER[party], mirrored)
    answer, update = driver.feed(on.ReofferAnswered(OTHER[party], body))
    assert isinstance(answer, do.Answer)
    assert (answer.party, described(answer).direction) == (party, mirrored)
    assert isinstance(update, do.UpdateMedia)
    assert driver.call.phase is Phase.PAUSED


def test_a_retrieve_asks_for_a_new_permit() -> None:
    """One story: paused with cause `hold`, then permit, gate, recording again."""
    driver = Driver().until(Phase.RECORDING)
    holds(driver, "agent")
    done = retrieves(driver, "agent")
    assert [type(effect) for effect in done] == [
        do.Reoffer,
        do.Answer,
        do.UpdateMedia,
        do.RequestPermit,
    ]
    assert described(only(done, do.Answer)).direction == "sendrecv"
    driver.feed(on.PermitGranted("g"), on.GateOpened())
    assert driver.call.phase is Phase.RECORDING


def test_a_hold_by_an_address_of_zeros() -> None:
    """RFC 2543: c=0.0.0.0; the other side is told by direction, the recorder keeps the place."""
    driver = Driver().until(Phase.RECORDING)
    zeros = says("agent").replace(b"c=IN IP4 192.0.2.20", b"c=IN IP4 0.0.0.0")
    _, reoffer = driver.feed(on.Reoffered("agent", zeros))
    assert described(reoffer).direction == "sendonly"
    done = driver.feed(on.ReofferAnswered("caller", says("caller", "recvonly")))
    update = only(done, do.UpdateMedia)
    assert isinstance(update, do.UpdateMedia)
    assert update.agent is not None
    assert (update.agent.address, update.agent.port) == PLACES["agent"]
    retrieves(driver, "agent")
    assert driver.call.phase is Phase.PERMITTING


def test_a_refused_hold_is_no_hold() -> None:
    """The holder hears the refusal; what was paused goes on with a new permit."""
    driver = Driver().until(Phase.RECORDING)
    driver.feed(on.Reoffered("agent", says("agent", "sendonly")))
    refusal, permit = driver.feed(on.ReofferRefused("caller", 488))
    assert refusal == do.Refuse("agent", 488)
    assert isinstance(permit, do.RequestPermit)
    refreshed = driver.feed(on.Reoffered("caller", OFFER))
    assert described(only(refreshed, do.Answer)).direction == "sendrecv"


def test_both_hold_and_one_retrieves() -> None:
    """As long as one of them makes the other wait, nothing is kept."""
    driver = Driver().until(Phase.RECORDING)
    holds(driver, "agent")
    driver.feed(on.Reoffered("caller", says("caller", "inactive")))
    driver.feed(on.ReofferAnswered("agent", says("agent", "inactive")))
    driver.feed(on.Reoffered("agent", says("agent")))
    answer = driver.feed(on.ReofferAnswered("caller", says("caller", "inactive")))[0]
    assert described(answer).direction == "inactive"
    assert driver.call.phase is Phase.PAUSED
    retrieves(driver, "caller")
    assert driver.call.phase is Phase.PERMITTING


def test_a_hold_while_the_permit_is_asked_for_opens_nothing() -> None:
    """A permit that comes late opens no gate; the retrieve asks for another."""
    for phase in (Phase.PERMITTING, Phase.GATING):
        driver = Driver().until(phase)
        holds(driver, "agent")
        driver.feed(on.PermitGranted("late"), on.GateOpened())
        assert driver.call.phase is Phase.PAUSED
        permit = only(retrieves(driver, "agent"), do.RequestPermit)
        assert isinstance(permit, do.RequestPermit)
        assert permit.number == 1


def test_a_pause_outlives_a_hold() -> None:
    """Card data on hold: the retrieve does not resume, the resume does not end the hold."""
    driver = Driver().until(Phase.RECORDING)
    driver.feed(on.PauseAsked("card_data", "agent", ""))
    assert not [e for e in holds(driver, "agent") if isinstance(e, do.PauseMedia)]
    assert not [e for e in retrieves(driver, "agent") if isinstance(e, do.RequestPermit)]
    assert driver.call.phase is Phase.PAUSED
    holds(driver, "agent")
    assert driver.feed(on.ResumeAsked()) == [do.ResumeOutcome("on_hold")]
    assert only(retrieves(driver, "agent"), do.RequestPermit)


def test_a_retrieved_call_asks_again_when_the_ledger_was_away() -> None:
    """Nobody would resume it otherwise; a refusal, a new hold or a pause ends the asking."""
    driver = Driver().until(Phase.RECORDING)
    holds(driver, "agent")
    retrieves(driver, "agent")
    assert do.RetryLater() in driver.feed(on.Failed("ledger_unavailable"))
    assert driver.call.phase is Phase.PAUSED
    (permit,) = driver.feed(on.RetryDue())
    assert isinstance(permit, do.RequestPermit)
    assert do.RetryLater() not in driver.feed(on.Failed("permit_refused"))
    for happening in (on.PauseAsked("card_data", "agent", ""), None):
        driver = Driver().until(Phase.RECORDING)
        holds(driver, "agent")
        retrieves(driver, "agent")
        driver.feed(on.Failed("ledger_unavailable"))
        if happening is None:
            holds(driver, "agent")
        else:
            driver.feed(happening)
        assert driver.feed(on.RetryDue()) == []


def test_a_hold_of_an_unrecorded_call_goes_through() -> None:
    """After an objection the recorder still relays: the hold is passed on, nothing is paused."""
    driver = Driver().until(Phase.RECORDING)
    driver.feed(on.Objected("caller", "spoken"))
    kinds = [type(effect) for effect in holds(driver, "agent")]
    assert kinds == [do.Reoffer, do.Answer, do.UpdateMedia]
    assert driver.call.phase is Phase.UNRECORDED


@pytest.mark.parametrize("phase", [Phase.CONNECTING, Phase.ANSWERING, Phase.INFORMING])
def test_nothing_changes_while_the_parties_are_told(phase: Phase) -> None:
    """491, so that the phone asks again: who is on hold would not hear the notice."""
    driver = Driver().until(phase)
    assert driver.feed(on.Reoffered("agent", says("agent", "sendonly"))) == [
        do.Refuse("agent", 491)
    ]
    driver.until(Phase.RECORDING)


def test_a_refresh_is_accepted_while_the_parties_are_told() -> None:
    """The same description again is no change."""
    driver = Driver().until(Phase.INFORMING)
    (answer,) = driver.feed(on.Reoffered("agent", ANSWER))
    assert isinstance(answer, do.Answer)


def test_a_new_address_is_told_to_the_recorder_only() -> None:
    """The far side need not know where the near one receives."""
    driver = Driver().until(Phase.RECORDING)
    answer, update = driver.feed(on.Reoffered("agent", says("agent", port=7000)))
    assert isinstance(answer, do.Answer)
    assert isinstance(update, do.UpdateMedia)
    assert update.agent is not None
    assert update.agent.port == 7000
    assert driver.call.phase is Phase.RECORDING


def test_the_second_offer_waits() -> None:
    """Glare across the call: while one side's offer is with the other, a third is 491."""
    driver = Driver().until(Phase.RECORDING)
    driver.feed(on.Reoffered("agent", says("agent", "sendonly")))
    assert driver.feed(on.Reoffered("caller", says("caller", "inactive"))) == [
        do.Refuse("caller", 491)
    ]


def test_an_offer_without_the_agreed_codec_is_refused() -> None:
    """The relay never transcodes, so the voice codec stays; the call goes on as it was."""
    driver = Driver().until(Phase.RECORDING)
    other_codec = sdp.build_offer(LocalAudio("192.0.2.1", 4000, (PCMU,), 1, 2))
    assert driver.feed(on.Reoffered("caller", other_codec)) == [do.Refuse("caller", 488)]
    assert driver.call.phase is Phase.RECORDING


def test_an_offer_is_made_to_who_asks_for_one() -> None:
    """A re-INVITE without an offer: ours has the agreed codecs; its ACK tells the new address."""
    driver = Driver().until(Phase.RECORDING)
    (offer,) = driver.feed(on.Reoffered("agent", b""))
    assert described(offer).codecs == (PCMA, EVENTS)
    (update,) = driver.feed(on.Acknowledged("agent", says("agent", port=7000)))
    assert isinstance(update, do.UpdateMedia)
    assert driver.call.phase is Phase.RECORDING


def test_who_holds_may_retrieve_by_asking_for_an_offer() -> None:
    """Music on hold by a PBX: both hold and retrieve may come as the answer to our offer."""
    driver = Driver().until(Phase.RECORDING)
    driver.feed(on.Reoffered("agent", b""))
    pause, reoffer, _ = driver.feed(on.Acknowledged("agent", says("agent", "sendonly")))
    assert pause == do.PauseMedia("hold", "agent", "")
    assert described(reoffer).direction == "sendonly"
    driver.feed(on.ReofferAnswered("caller", says("caller", "recvonly")))
    (offer,) = driver.feed(on.Reoffered("agent", b""))
    assert described(offer).direction == "sendrecv"
    driver.feed(on.Acknowledged("agent", says("agent")))
    assert driver.call.phase is Phase.PAUSED
    done = driver.feed(on.ReofferAnswered("caller", says("caller")))
    assert only(done, do.RequestPermit)


def test_an_offer_that_is_never_answered_changes_nothing() -> None:
    """An ACK without a description: as if nobody had asked."""
    driver = Driver().until(Phase.RECORDING)
    driver.feed(on.Reoffered("agent", b""))
    assert driver.feed(on.Acknowledged("agent", b"")) == []
    assert driver.feed(on.Reoffered("caller", OFFER)) != [do.Refuse("caller", 491)]


def test_versions_rise_with_each_description() -> None:
    """RFC 3264 §8: what differs from the last has the next version, also after a refusal."""
    driver = Driver().until(Phase.RECORDING)
    holds(driver, "agent")
    retrieves(driver, "agent")
    driver.feed(on.Reoffered("agent", says("agent", "inactive")))
    driver.feed(on.ReofferRefused("caller", 500))
    holds(driver, "agent")
    for party in ("caller", "agent"):
        told = [
            e.body
            for e in driver.done
            if isinstance(e, do.Reoffer | do.Answer) and e.party == party
        ]
        versions = [int(body.split(b"\r\n")[1].split()[2]) for body in told]
        assert versions == sorted(set(versions))


def test_refused_lines_stay_in_every_description() -> None:
    """RFC 3264 §8: a caller with video has two m-lines in whatever we tell it later."""
    video = OFFER + b"m=video 4002 RTP/AVP 99\r\na=rtpmap:99 VP8/90000\r\n"
    driver = Driver(body=video).until(Phase.RECORDING)
    _, reoffer = driver.feed(on.Reoffered("agent", says("agent", "sendonly")))
    assert isinstance(reoffer, do.Reoffer)
    audio, refused = sdp.parse(reoffer.body).media
    assert (audio.kind, refused.kind, refused.port) == ("audio", "video", 0)


def test_both_legs_have_the_codec_that_was_agreed() -> None:
    """The recorder plays the notice to the caller in the codec that the agent took."""
    offer = sdp.build_offer(LocalAudio("192.0.2.1", 4000, (PCMU, PCMA, EVENTS), 1))
    driver = Driver(body=offer).until(Phase.CONNECTING)
    update = only(driver.done, do.UpdateMedia)
    assert isinstance(update, do.UpdateMedia)
    assert update.caller is not None
    assert update.caller.codecs[0] == PCMA


def without_an_offer() -> Driver:
    """A call whose INVITE had no description, answered by the agent and then by us."""
    driver = Driver(body=b"").until(Phase.DIALLING)
    driver.feed(on.AgentAnswered(ANSWER), on.MediaUpdated())
    assert driver.call.phase is Phase.ANSWERING
    return driver


def test_a_call_without_an_offer_is_recorded_too() -> None:
    """The agent gets ours, the caller what the agent took; its ACK says where it listens."""
    driver = without_an_offer()
    invite = only(driver.done, do.InviteAgent)
    assert isinstance(invite, do.InviteAgent)
    assert [codec.name for codec in sdp.parse(invite.body).audio.codecs] == [
        "PCMA",
        "PCMU",
        "telephone-event",
    ]
    offer = described(only(driver.done, do.Answer))
    assert ((offer.address, offer.port), offer.codecs) == (OPENED.caller, (PCMA, EVENTS))
    (update,) = driver.feed(on.Acknowledged("caller", says("caller")))
    assert isinstance(update, do.UpdateMedia)
    assert update.caller is not None
    assert (update.caller.address, update.caller.port) == PLACES["caller"]
    assert update.is_awaited
    assert driver.feed(on.MediaUpdated()) == [do.Announce()]
    driver.feed(on.NoticesGiven(()), on.PermitGranted("g"), on.GateOpened())
    assert driver.call.phase is Phase.RECORDING
    holds(driver, "agent")
    assert driver.call.phase is Phase.PAUSED


@pytest.mark.parametrize("body", [b"", b"nonsense", OFFER.replace(b"8 0 101", b"0")])
def test_a_caller_who_answers_with_nothing_usable_is_hung_up(body: bytes) -> None:
    """Both sides get a BYE: nobody could hear the other."""
    driver = without_an_offer()
    body = body.replace(b" 18 8 0 101", b" 18")
    effects = driver.feed(on.Acknowledged("caller", body))
    assert effects[:2] == [do.HangUp("caller"), do.HangUp("agent")]
    assert driver.facts()["call.ended"]["cause"] == "not_acceptable"


def test_a_recorder_lost_when_the_caller_answers_leaves_the_call_unrecorded() -> None:
    """`continue`: told nothing, kept nothing, and the reason is on record."""
    driver = without_an_offer()
    driver.feed(on.Acknowledged("caller", says("caller")), on.Failed("media_unavailable"))
    assert (driver.call.phase, driver.call.gate) == (Phase.UNRECORDED, "media_unavailable")
    assert do.Announce() not in driver.done


def test_the_next_target_is_tried_when_one_is_out_of_service() -> None:
    """5xx or silence: the same offer goes to the next one; the last one's failure is passed on."""
    for status in (408, 500, 503, 504):
        driver = Driver(targets=2).until(Phase.DIALLING)
        (invite,) = driver.feed(on.AgentRefused(status, ""))
        assert isinstance(invite, do.InviteAgent)
        assert (str(invite.target), invite.is_last) == ("sip:1000@192.0.2.21:5070", True)
        first = only(driver.done[:-1], do.InviteAgent)
        assert isinstance(first, do.InviteAgent)
        assert (first.body, first.is_last) == (invite.body, False)
        assert driver.feed(on.AgentRefused(503, "Out"))[0] == do.Refuse("caller", 503, "Out")


def test_a_person_who_refuses_is_not_asked_elsewhere() -> None:
    """Busy, declined, not found: no failover."""
    for status in (404, 486, 600, 603):
        driver = Driver(targets=2).until(Phase.DIALLING)
        assert driver.feed(on.AgentRefused(status, ""))[0] == do.Refuse("caller", status)
