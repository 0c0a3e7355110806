"""The gate while what it depends on is gone or slow: nothing kept that may not be, all drains."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from faults.outcomes import NO_LEDGER, NO_NOTICE, RECORDED, Outcome, Step, failed, partly
from faults.prompts import LONG, ONE_SIDED, write_prompts
from faults.proof import Proof, facts_waiting
from faults.trials import REACH_SECONDS, Office, Trial, office
from onrecord.api.signalling.v1 import signalling_pb2 as pb
from onrecord.api.signalling.v1 import signalling_pb2_grpc as rpc
from onrecord.platform.grpc import channel
from onrecord.platform.settings import ServiceSettings
from onrecord.softphone import PhoneCall, Softphone
from onrecord.standalone.checks.observed import PARTIES
from onrecord.standalone.checks.reader import observe_all
from processes import until
from stack import ROUTES, WAIT_SECONDS, RunningStack, running_stack

ENVIRONMENT = {
    "ONRECORD_KEEPALIVE_SECONDS": "1",
    "ONRECORD_KEEPALIVE_SILENCE": "20",
    "ONRECORD_PERMIT_WAIT_SECONDS": "2",
    # Twenty permits at once on a busy machine: what waits for one is a matter of its own.
    "ONRECORD_HOLD_SECONDS": "10",
}
SPECIAL_ROUTES = f"""
[[route]]
prefix = "5"
to = "sip:{{agent}}"
language = "{ONE_SIDED}"
notice = "on_answer"
on_no_permit = "continue"

[[route]]
prefix = "6"
to = "sip:{{agent}}"
language = "{LONG}"
notice = "on_answer"
on_no_permit = "refuse"
"""

STOP_NS = (20 + 20) * 1_000_000
"""I10: one packet and 20 ms."""

BACK_ENDS = ("consent-ledger", "kafka", "mongo")
ALL_OTHERS = ("media-recorder", "media-mover", "announcement", "retrieval", *BACK_ENDS)
SPOOL_OCTETS = 4 << 20
AT_ONCE = 20


class Talkative(Softphone):
    """A phone that goes on sending when the call is over, until it is put away."""

    def forget(self, call: PhoneCall) -> None:
        """Keep the media of a call that is over."""


@contextlib.contextmanager
def short_stack(folder: Path) -> Iterator[RunningStack]:
    """A stack with short prompts and times, and routes for odd notices."""
    prompts = write_prompts(folder / "prompts", seconds=0.6, long_seconds=3)
    environment = {**ENVIRONMENT, "ONRECORD_PROMPTS": str(prompts)}
    head, mark, rest = ROUTES.partition("[[route]]")
    routes = head + SPECIAL_ROUTES + mark + rest
    with running_stack(folder / "data", environment=environment, routes=routes) as running:
        yield running
    assert not facts_waiting(folder / "data")


@pytest.fixture(scope="module")
def faulty_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that the tests of this module do harm to."""
    with short_stack(tmp_path_factory.mktemp("gate")) as running:
        yield running


@contextlib.asynccontextmanager
async def call_control(stack: RunningStack) -> AsyncIterator[rpc.CallControlAsyncStub]:
    """Signalling's door."""
    async with channel(stack.endpoints["grpc.signalling"], ServiceSettings()) as opened:
        yield rpc.CallControlStub(opened)


async def proven(at: Office, trials: list[Trial], *outcomes: Outcome) -> None:
    """Each call comes to one of these outcomes, and everything that must hold does."""
    await Proof().examine(at.lab, trials, {trial.call: outcomes for trial in trials}, {})


async def last_kept_ns(at: Office, trial: Trial) -> dict[str, int]:
    """When the last frame arrived that is kept of each party."""
    await Proof().drained(at.lab, [trial])
    seen = (await observe_all(at.lab.stack.places, {trial.call: trial.tapes}))[trial.call]
    return {party: max(frame.arrival_ns for frame in seen.frames(party)) for party in PARTIES}


@pytest.mark.parametrize("how", ["pause", "objection", "bye"])
async def test_a_stop_is_immediate_with_every_back_end_stopped(
    faulty_stack: RunningStack, how: str
) -> None:
    """I10 and I12: ledger, Kafka, MongoDB and store are away, both sides talk on, nothing is kept.

    The moment is that of the asking, before any service has heard of it.
    """
    async with (
        office(faulty_stack) as at,
        Talkative(user="caller", codecs=("PCMU",)) as caller,
        call_control(faulty_stack) as door,
    ):
        at.lab.caller = caller
        trial = await at.talking()
        assert trial.incoming is not None
        await door.List(pb.ListRequest(), timeout=5)  # What connecting takes is no part of it.
        with at.machine.stopped(*BACK_ENDS), at.machine.without("objects"):
            asked_ns = time.time_ns()
            if how == "pause":
                await door.Pause(pb.PauseRequest(call_id=trial.call, cause="card_data"), timeout=5)
            elif how == "objection":
                request = pb.ObjectRequest(call_id=trial.call, party="caller", channel="spoken")
                await door.Object(request, timeout=5)
            else:
                trial.incoming.hang_up()
            sent = len(trial.outgoing.media.sent)
            await until(lambda: len(trial.outgoing.media.sent) > sent + 25, REACH_SECONDS)
        trial.outgoing.hang_up()
        if how != "bye":
            await trial.incoming.wait_over(REACH_SECONDS)
        kept = await last_kept_ns(at, trial)
        late_ms = {party: (last - asked_ns) / 1e6 for party, last in kept.items()}
        print(f"last kept after {how}, ms: {late_ms}")
        assert max(kept.values()) <= asked_ns + STOP_NS, late_ms
        causes = {"pause": "card_data", "objection": "objection"}
        await proven(at, [trial], partly(causes[how]) if how in causes else RECORDED)


async def test_an_emergency_call_connects_with_everything_else_dead(
    faulty_stack: RunningStack,
) -> None:
    """I11: all other processes are killed and stay dead; the fact is entered afterwards."""
    async with office(faulty_stack) as at:
        with at.machine.without_supervisor():
            at.machine.kill(*ALL_OTHERS)
            trial = await at.identify(await at.place(Step.TALK, number="999"))
            await trial.outgoing.wait_answered(REACH_SECONDS)
            incoming = await at.reach_agent(trial)
            await trial.speak()
            await trial.outgoing.wait_audio(REACH_SECONDS)
            await incoming.wait_audio(REACH_SECONDS)
            trial.outgoing.hang_up()
            await incoming.wait_over(REACH_SECONDS)
        await at.machine.back()
        # Nobody stood in between.
        arrived = {(frame.ssrc, frame.sequence) for frame in incoming.media.received}
        assert {(f.ssrc, f.sequence) for f in trial.outgoing.media.sent[:-2]} <= arrived
        await proven(at, [trial], Outcome("not_recorded"))
        verdict = await at.lab.event(trial.call, "call.verdict")
        assert verdict.fields["rule"] == "emergency"


async def test_a_notice_to_one_party_gives_no_permit(faulty_stack: RunningStack) -> None:
    """The caller was told, the agent could not be: the call goes on and nothing is kept."""
    async with office(faulty_stack) as at:
        trial = await at.identify(await at.place(Step.TALK, prefix="5"))
        await at.reach_agent(trial)
        await at.diary.reached(trial.call, {"UNRECORDED"}, REACH_SECONDS)
        await trial.speak()
        assert not any(phone.ending for phone in trial.phones)
        trial.outgoing.hang_up()
        await proven(at, [trial], failed("notice_failed", "no_prompt_in_language"))
        given = [
            entry.fields["party"]
            for entry in at.lab.follower.of_call(trial.call)
            if entry.type == "notice.given"
        ]
        assert given == ["caller"]


async def test_a_player_that_died_half_way_gives_no_permit(faulty_stack: RunningStack) -> None:
    """Half a notice is none; on a strict route both are hung up."""
    async with office(faulty_stack) as at:
        trial = await at.announcing(prefix="6")
        assert trial.incoming is not None
        half = 75
        await until(lambda: len(trial.outgoing.media.received) > half, REACH_SECONDS)
        at.machine.kill("media-mover")
        for phone in trial.phones:
            assert await phone.wait_over(REACH_SECONDS) == "far_side_hung_up"
        await at.machine.back()
        await proven(at, [trial], NO_NOTICE)


@pytest.mark.parametrize(("prefix", "goes_on"), [("1", True), ("7", False)])
async def test_a_ledger_that_does_not_answer_in_time(
    faulty_stack: RunningStack, prefix: str, *, goes_on: bool
) -> None:
    """The call goes on unrecorded or is hung up, as its route says; a late permit is too late."""
    async with office(faulty_stack) as at:
        with contextlib.ExitStack() as held:
            async with at.told(Step.PERMIT, prefix=prefix) as trial:
                held.enter_context(at.machine.stopped("consent-ledger"))
            reached = await at.diary.reached(trial.call, {"UNRECORDED", "OVER"}, REACH_SECONDS)
            assert (reached == "UNRECORDED") == goes_on
            if goes_on:
                await trial.speak()
        assert trial.incoming is not None
        if goes_on:
            trial.outgoing.hang_up()
        assert await trial.incoming.wait_over(REACH_SECONDS) == "far_side_hung_up"
        await proven(at, [trial], NO_LEDGER)


async def test_twenty_calls_at_once(faulty_stack: RunningStack) -> None:
    """All are recorded, each with its own audio and nobody else's."""
    async with office(faulty_stack) as at:
        trials = [await at.identify(await at.place(Step.TALK)) for _ in range(AT_ONCE)]
        for trial in trials:
            await at.reach_agent(trial)
        for trial in trials:
            assert await at.diary.reached(trial.call, {"RECORDING"}, WAIT_SECONDS)
        await asyncio.gather(*(trial.speak() for trial in trials))
        for number, trial in enumerate(trials):
            trial.phones[number % 2].hang_up()
        await proven(at, trials, RECORDED)


@pytest.fixture
def small_spool_stack(tmp_path: Path) -> Iterator[RunningStack]:
    """A stack whose spool is a file system of its own, and small."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if os.geteuid() or not mount or not umount:
        pytest.skip("only root can mount a file system")
    spool = tmp_path / "data" / "spool"
    spool.mkdir(parents=True)
    command = [mount, "-t", "tmpfs", "-o", f"size={SPOOL_OCTETS}", "tmpfs", str(spool)]
    if subprocess.run(command, capture_output=True, check=False, timeout=10).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with short_stack(tmp_path) as running:
            yield running
    finally:
        subprocess.run([umount, str(spool)], check=True, timeout=10)


async def test_a_full_spool_disk_ends_the_recording_and_not_the_call(
    small_spool_stack: RunningStack,
) -> None:
    """What was kept before stays, the cause is named, and all is stored once there is room."""
    async with office(small_spool_stack) as at:
        trial = await at.talking()
        filler = small_spool_stack.data / "spool" / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(512)):
                pass
        await trial.speak()
        assert trial.incoming is not None
        heard = len(trial.incoming.media.received)
        await until(lambda: len(trial.incoming.media.received) > heard + 10, REACH_SECONDS)  # type: ignore[union-attr]
        trial.outgoing.hang_up()
        await trial.incoming.wait_over(REACH_SECONDS)
        # Until then the disk stays full: nothing that was kept could be sealed.
        verdict = await at.lab.event(trial.call, "call.verdict")
        assert verdict.fields["verdict"] == "failed"
        filler.unlink()
        await proven(at, [trial], partly("spool_unwritable"))
        shown = await at.lab.door.get(trial.call)
        assert shown.call.verdict == "partly_recorded"
        assert [one.type for one in shown.timeline].count("call.verdict_amended") == 1
