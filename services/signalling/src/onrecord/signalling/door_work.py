"""The other half of a call's effects: each door is called in a task that ends in an input."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc.aio
from onrecord.platform.errors import PlatformError
from onrecord.platform.facts import FactWriter
from onrecord.platform.grpc import reason_of
from onrecord.platform.telemetry import get_logger
from onrecord.signalling.adapters.evidence import Announcer, Permits
from onrecord.signalling.adapters.recorders import Recorders
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.phase import Phase
from onrecord.signalling.running import RunningCall

log = get_logger()

Happen = Callable[[RunningCall, on.Input], None]


@dataclass(frozen=True)
class Doors:
    """Everything outside this process that a call needs."""

    recorders: Recorders
    announcer: Announcer
    permits: Permits
    facts: FactWriter


class DoorWork:
    """Runs the door calls of all calls; owns their tasks."""

    def __init__(self, doors: Doors, happen: Happen) -> None:
        """`happen` takes the input in which each piece of work ends."""
        self._doors = doors
        self._happen = happen
        self._tasks: set[asyncio.Task[None]] = set()

    def carry_out(self, running: RunningCall, effect: do.Effect) -> bool:
        """Start what `effect` asks for; False when it is no door's."""
        match effect:
            case do.OpenMedia():
                self._start(running, self._open(running, effect), "media_unavailable")
            case do.OpenStreams():
                self._start(running, self._open_streams(running, effect), None, on.StreamsFailed())
            case do.UpdateMedia(is_awaited=True):
                self._start(running, self._update(running, effect), "media_unavailable")
            case do.Announce():
                self._start(running, self._announce(running), "announcement_unavailable")
            case do.RequestPermit():
                self._start(running, self._permit(running, effect), "ledger_unavailable")
            case do.OpenGate(grant):
                self._start(running, self._record(running, grant), "media_unavailable")
            case do.UpdateMedia():
                self._start(running, self._update(running, effect), None)
            case do.PauseMedia() | do.StopMedia():
                running.shutting = self._start(running, self._shut(running, effect), None)
            case do.CloseMedia():
                self._start(running, self._close(running), None)
            case _:
                return False
        return True

    async def close(self, seconds: float) -> None:
        """Let the work come to its end for so long, then end it."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(
        self,
        running: RunningCall,
        work: Awaitable[on.Input | None],
        outage: on.Outage | None,
        failure: on.Input | None = None,
    ) -> asyncio.Task[None]:
        """Do `work`; when it fails the call hears of `failure`, or by default of the `outage`."""
        if failure is None and outage is not None:
            failure = on.Failed(outage)
        supervised = self._supervise(running, work, outage, failure)
        task = asyncio.create_task(supervised, name=f"door {outage}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _supervise(
        self,
        running: RunningCall,
        work: Awaitable[on.Input | None],
        outage: on.Outage | None,
        failure: on.Input | None,
    ) -> None:
        """Await `work`; however it fails, the call goes on with `failure`."""
        outcome = failure
        try:
            outcome = await work
        except grpc.aio.AioRpcError as error:
            log.warning("door failed", call=running.id, door=outage, reason=reason_of(error))
        except (PlatformError, TimeoutError) as error:
            log.warning("door failed", call=running.id, door=outage, reason=type(error).__name__)
        except Exception:  # a fault of ours must not leave two people waiting in silence
            log.exception("door work failed", call=running.id, door=outage)
        if outcome is not None:
            self._happen(running, outcome)

    async def _open(self, running: RunningCall, effect: do.OpenMedia) -> on.Input:
        async with running.media_turn:
            address, opened = await self._doors.recorders.open(running.id, effect)
        self._attend(running, address)
        return opened

    async def _open_streams(self, running: RunningCall, effect: do.OpenStreams) -> on.Input:
        async with running.media_turn:
            at = running.media_address
            address, opened = await self._doors.recorders.open_streams(at, running.id, effect)
        self._attend(running, address)
        return opened

    def _attend(self, running: RunningCall, address: str) -> None:
        """Note where a call's media is, and hear from there from now on."""
        running.media_address = address
        if running.call.phase is not Phase.OVER and running.watching is None:
            running.watching = self._start(running, self._watch(running), None)

    async def _update(self, running: RunningCall, effect: do.UpdateMedia) -> on.Input | None:
        async with running.media_turn:
            await self._doors.recorders.update(running.media_address, running.id, effect)
        return on.MediaUpdated() if effect.is_awaited else None

    async def _announce(self, running: RunningCall) -> on.Input:
        decision = running.call.plan.decision
        if decision is None:
            return on.Failed("notice_failed")
        return await self._doors.announcer.announce(running.id, decision, running.media_address)

    async def _permit(self, running: RunningCall, effect: do.RequestPermit) -> on.Input:
        return await self._doors.permits.request(running.id, running.call.media_node, effect)

    async def _record(self, running: RunningCall, grant: object) -> on.Input:
        async with running.media_turn:
            await self._doors.recorders.record(running.media_address, grant)
        return on.GateOpened()

    async def _watch(self, running: RunningCall) -> on.Input | None:
        """Hear of failed recording from the recorder itself; the bus tells it too, later."""
        async for cause in self._doors.recorders.failures(running.media_address, running.id):
            log.warning("recording failed", call=running.id, cause=cause)
            return on.RecordingFailed()
        return None

    async def _shut(self, running: RunningCall, effect: do.PauseMedia | do.StopMedia) -> None:
        """Keep nothing; a stop waits for no turn, it is for good and no later Record undoes it."""
        recorders, address = self._doors.recorders, running.media_address
        try:
            if isinstance(effect, do.StopMedia):
                await recorders.stop(address, running.id, effect.cause)
            else:
                async with running.media_turn:
                    await recorders.pause(address, running.id, effect)
        except grpc.aio.AioRpcError as error:
            running.media_fault = reason_of(error)
            raise
        running.media_fault = ""

    async def _close(self, running: RunningCall) -> None:
        if running.watching is not None:
            running.watching.cancel()
        async with running.media_turn:
            await self._doors.recorders.close(running.media_address, running.id)
