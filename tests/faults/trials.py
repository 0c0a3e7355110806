"""Calls that are brought to a step and held there."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from faults.diary import Diary
from faults.machine import Machine, units_in_spool
from faults.outcomes import Step
from onrecord.softphone import PhoneCall
from onrecord.standalone.checks.observed import PhoneTape
from onrecord.standalone.demo import tape
from processes import until
from stack import CALLER_NUMBER, Laboratory, RunningStack, laboratory

REACH_SECONDS = 20.0
SETTLE_SECONDS = 25.0
SPOKEN_SECONDS = 0.3
_DONE = {"RECORDING", "UNRECORDED", "OVER"}


@dataclass
class Trial:
    """One call of the matrix: the step at which it is struck, its phones and its id."""

    step: Step
    outgoing: PhoneCall
    incoming: PhoneCall | None = None
    call: str = ""

    @property
    def phones(self) -> list[PhoneCall]:
        """The phones that are in it."""
        return [phone for phone in (self.outgoing, self.incoming) if phone is not None]

    @property
    def tapes(self) -> dict[str, PhoneTape]:
        """What each party sent and heard; nothing where the agent was never reached."""
        if self.incoming is None:
            return {}
        return {"caller": tape(self.outgoing), "agent": tape(self.incoming)}

    async def speak(self) -> None:
        """Both say something that nobody else says."""
        source = random.Random(self.call)  # noqa: S311 - reproducible, not secret
        for phone in self.phones:
            phone.say([source.randbytes(160) for _ in range(int(SPOKEN_SECONDS * 50))])
        await asyncio.gather(*(phone.wait_said(REACH_SECONDS) for phone in self.phones))


class Office:
    """Places calls to an agent who answers at once, or not before they are told to."""

    def __init__(self, lab: Laboratory, patient: set[str]) -> None:
        """`patient` are the numbers that the agent leaves ringing."""
        self.lab = lab
        self.diary = Diary(lab.stack.data / "logs" / "signalling.log")
        self.machine = Machine(lab.stack)
        self._patient = patient
        self._identified = 0

    async def place(
        self, step: Step, *, prefix: str = "1", number: str = "", answered: bool = True
    ) -> Trial:
        """Dial a number that nobody else dials, or this one; the call is not waited for."""
        number = number or f"{prefix}{next(_NUMBERS):04d}"
        if not answered:
            self._patient.add(number)
        outgoing = await self.lab.caller.call(number, self.lab.stack.sip, caller=CALLER_NUMBER)
        return Trial(step, outgoing)

    async def identify(self, trial: Trial) -> Trial:
        """Learn a call's id; calls are routed in the order in which they were placed."""
        trial.call = await self.diary.nth_routed(self._identified, REACH_SECONDS)
        self._identified += 1
        return trial

    async def reach_agent(self, trial: Trial) -> PhoneCall:
        """Wait until the agent's phone has the call."""
        await until(lambda: self._incoming(trial) is not None, REACH_SECONDS)
        found = trial.incoming = self._incoming(trial)
        assert found is not None
        return found

    async def opening(self) -> Trial:
        """A call that waits for `Media.Open`; the recorder must be stopped."""
        trial = await self.identify(await self.place(Step.OPEN))
        await self.diary.reached(trial.call, {"OPENING"}, REACH_SECONDS)
        return trial

    async def ringing(self, *, prefix: str = "1") -> Trial:
        """A call that rings at the agent."""
        trial = await self.place(Step.ANSWER, prefix=prefix, answered=False)
        await self.identify(trial)
        await self.reach_agent(trial)
        await self.diary.reached(trial.call, {"DIALLING"}, REACH_SECONDS)
        return trial

    async def announcing(self, step: Step = Step.ANNOUNCE, *, prefix: str = "1") -> Trial:
        """A call in which both parties have begun to hear their notice."""
        trial = await self.identify(await self.place(step, prefix=prefix))
        incoming = await self.reach_agent(trial)
        for phone in (trial.outgoing, incoming):
            await phone.wait_audio(REACH_SECONDS)
        return trial

    async def talking(self, step: Step = Step.TALK, *, prefix: str = "1") -> Trial:
        """A call that is recorded, in which both have spoken."""
        trial = await self.announcing(step, prefix=prefix)
        reached = await self.diary.reached(trial.call, _DONE, REACH_SECONDS)
        assert reached == "RECORDING", f"{trial.call} is {reached}"
        await trial.speak()
        return trial

    @asynccontextmanager
    async def told(self, step: Step, *, prefix: str = "1") -> AsyncIterator[Trial]:
        """A call whose notices are committed; signalling is stopped and has not heard of it."""
        trial = await self.announcing(step, prefix=prefix)
        with self.machine.stopped("signalling"):
            for party in ("caller", "agent"):
                await until(lambda party=party: self._is_told(trial, party), REACH_SECONDS)  # type: ignore[misc]
            yield trial

    async def in_store(self, trial: Trial) -> None:
        """Wait until all audio of an ended call is in the object store and nobody was told."""
        objects = self.lab.stack.data / "objects" / trial.call
        await until(
            lambda: (
                bool(waiting := self.in_spool(trial))
                and all((objects.parent / key).exists() for key in waiting)
            ),
            REACH_SECONDS,
        )

    async def sealed(self, trial: Trial) -> None:
        """Wait until all audio of an ended call is sealed and the first put was tried."""
        await until(lambda: "sealed" in self.in_spool(trial).values(), REACH_SECONDS)

    def in_spool(self, trial: Trial) -> dict[str, str]:
        """The call's units that are still in the spool."""
        return units_in_spool(self.lab.stack.data / "spool", trial.call)

    async def settle(self, trial: Trial, *, waits: bool) -> None:
        """Let a call go on to where it now goes by itself, talk if it is recorded, hang up.

        Without `waits` nobody is left who would take it further.
        """
        if waits:
            await until(lambda: self._is_settled(trial), SETTLE_SECONDS)
        if trial.incoming is None:
            trial.incoming = self._incoming(trial)
        if self.diary.phase(trial.call) == "RECORDING" and not trial.outgoing.ending:
            await trial.speak()
        for phone in trial.phones:
            if not phone.ending:
                phone.hang_up()
                break

    def _is_settled(self, trial: Trial) -> bool:
        if all(phone.ending for phone in trial.phones):
            return True
        return self.diary.phase(trial.call) in _DONE

    def _incoming(self, trial: Trial) -> PhoneCall | None:
        calls = [call for call in self.lab.agent.calls if call.number == trial.outgoing.number]
        return calls[-1] if calls else None

    def _is_told(self, trial: Trial, party: str) -> bool:
        return any(
            entry.type == "notice.given" and entry.fields["party"] == party
            for entry in self.lab.follower.of_call(trial.call)
        )


_NUMBERS = itertools.count(1)


@asynccontextmanager
async def office(stack: RunningStack) -> AsyncIterator[Office]:
    """An office on a running stack while the context lasts."""
    patient: set[str] = set()

    async def behave(call: PhoneCall) -> None:
        call.ring()
        if call.number not in patient:
            call.answer()

    async with laboratory(stack, behave) as lab:
        yield Office(lab, patient)
