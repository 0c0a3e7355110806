"""kill -9 of every process at every step of a call: nothing kept that may not be, nothing lost.

`faults.outcomes` says which outcomes are right. Each test strikes one process once, with calls at
several steps at that moment: a call is held at its step by stopping (SIGSTOP) whatever has to act
next. Afterwards the calls go on as they now go by themselves, and `faults.proof` examines each.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator

import pytest
from faults.outcomes import OUTCOMES, UNANSWERED, Step
from faults.prompts import write_prompts
from faults.proof import Proof, facts_waiting
from faults.trials import REACH_SECONDS, Office, Trial, office
from stack import RunningStack, running_stack

PROMPT_SECONDS = 0.6

ENVIRONMENT = {
    "ONRECORD_KEEPALIVE_SECONDS": "1",
    "ONRECORD_KEEPALIVE_SILENCE": "10",
    "ONRECORD_RENEW_SECONDS": "0.5",
    "ONRECORD_LEASE_SECONDS": "2",
    "ONRECORD_ORPHAN_SECONDS": "3",
    # Holding a call at a step takes its time, and is no fault of what is held.
    "ONRECORD_MEDIA_SECONDS": "20",
    "ONRECORD_ANNOUNCE_SECONDS": "15",
    "ONRECORD_PERMIT_WAIT_SECONDS": "10",
    "ONRECORD_HOLD_SECONDS": "15",
}

Struck = list[Trial]
Scene = Callable[[Office], contextlib.AbstractAsyncContextManager[Struck]]


@pytest.fixture(scope="module")
def struck_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with short times, killed in part by every test of this module."""
    folder = tmp_path_factory.mktemp("matrix")
    prompts = write_prompts(folder / "prompts", seconds=PROMPT_SECONDS, long_seconds=3)
    environment = {**ENVIRONMENT, "ONRECORD_PROMPTS": str(prompts)}
    with running_stack(folder / "data", environment=environment) as running:
        yield running
    assert not facts_waiting(folder / "data")


@pytest.fixture(scope="module")
def proof() -> Proof:
    """What is known of the stack's log from earlier tests."""
    return Proof()


@contextlib.asynccontextmanager
async def signalling_held(at: Office) -> AsyncIterator[Struck]:
    """Messages that signalling has not read: INVITE, B's 200, BYE; notices it does not know of."""
    answer = await at.ringing()
    bye = await at.talking(Step.BYE)
    async with at.told(Step.NOTICE) as notice:
        assert answer.incoming is not None
        answer.incoming.answer()
        bye.outgoing.hang_up()
        invite = await at.place(Step.INVITE)
        yield [answer, bye, notice, invite]


@contextlib.asynccontextmanager
async def recorder_held(at: Office) -> AsyncIterator[Struck]:
    """Commands that the recorder has not read: Open, Record, Close."""
    seal = await at.talking(Step.SEAL)
    with contextlib.ExitStack() as held:
        async with at.told(Step.RECORD) as record:
            held.enter_context(at.machine.stopped("media-recorder"))
        await at.diary.reached(record.call, {"GATING"}, REACH_SECONDS)
        seal.outgoing.hang_up()
        await at.diary.reached(seal.call, {"OVER"}, REACH_SECONDS)
        yield [seal, record, await at.opening()]


@contextlib.asynccontextmanager
async def ledger_and_store_held(at: Office) -> AsyncIterator[Struck]:
    """Questions that the ledger has not read, units that the store has not got; two who talk."""
    talk, put, stored = [await at.talking(step) for step in (Step.TALK, Step.PUT, Step.STORED)]
    with contextlib.ExitStack() as held:
        async with at.told(Step.PERMIT) as permit:
            held.enter_context(at.machine.stopped("consent-ledger"))
        await at.diary.reached(permit.call, {"PERMITTING"}, REACH_SECONDS)
        stored.outgoing.hang_up()
        await at.in_store(stored)
        held.enter_context(at.machine.without("objects"))
        put.outgoing.hang_up()
        await at.sealed(put)
        yield [talk, put, stored, permit, await at.announcing()]


SCENES: list[Scene] = [signalling_held, recorder_held, ledger_and_store_held]


@pytest.mark.parametrize("victim", OUTCOMES)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_kill(struck_stack: RunningStack, proof: Proof, victim: str, scene: Scene) -> None:
    """One process is killed once; every call comes to an outcome that is right for its step."""
    async with office(struck_stack) as at:
        async with scene(at) as trials:
            in_spool = {trial.call: at.in_spool(trial) for trial in trials if trial.call}
            at.machine.kill(victim)
        await at.machine.back()
        for trial in trials:
            if not trial.call:
                await at.identify(trial)
            outcomes = OUTCOMES[victim][trial.step]
            await at.settle(trial, waits=UNANSWERED not in outcomes)
        expected = {trial.call: OUTCOMES[victim][trial.step] for trial in trials}
        await proof.examine(at.lab, trials, expected, in_spool)


def test_every_step_is_struck() -> None:
    """The table has an outcome for each process at each step."""
    unknown: Collection[str] = {
        victim for victim, row in OUTCOMES.items() if set(row) != set(Step) or not all(row.values())
    }
    assert not unknown
