"""The writer: reads the ring, writes what the gates allow, then moves the ring's tail.

Order is everything here. A record is written (or dropped for good) before the ring is told so, and
a call's state is kept by the mover before it is acted on: a writer killed at any line is followed
by one that finds the same records and the same state, and repeats nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from onrecord.contracts.event import call_event
from onrecord.contracts.events import RecordingFailed
from onrecord.contracts.fact import Fact
from onrecord.ledger.errors import LedgerError
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.call_log import CallLog
from onrecord.media_recorder.adapters.mover import MoverClient, MoverGone
from onrecord.media_recorder.adapters.spool import OpenUnit, calls_in, left_over
from onrecord.media_recorder.adapters.unit_keys import UnitKeys
from onrecord.media_recorder.domain.gate import Gate, State
from onrecord.media_recorder.key_supply import KeySupply
from onrecord.media_recorder.listing import Actor, started, stopped
from onrecord.media_recorder.mover.control import Json
from onrecord.media_recorder.recording import CallRecording
from onrecord.media_recorder.ring import Ring, RingDamaged
from onrecord.media_recorder.storing import NOTHING, Job, Storing
from onrecord.media_recorder.succession import Succession, tag_of
from onrecord.media_recorder.watching import News, Watchers
from onrecord.platform.clock import monotonic, utc_now
from onrecord.platform.errors import Refused, Unavailable
from onrecord.platform.facts import FactWriter
from onrecord.platform.telemetry import continued, get_logger, traceparent_within

log = get_logger()
TICK: Final = 0.02
IDLE_TICK: Final = 0.1
SYNC_SECONDS: Final = 0.2
# Records taken in one go: some milliseconds, in which nothing else is done.
BATCH: Final = 500
REATTACH_SECONDS: Final = 0.2


class Recorder:
    """All calls of one node, their gates and the ring behind them."""

    def __init__(
        self,
        succession: Succession,
        mover_path: Path,
        storing: Storing,
        facts: FactWriter,
        keys: UnitKeys,
    ) -> None:
        """Nothing happens before `run_mover`."""
        self.calls: dict[str, CallRecording] = {}
        self.watchers = Watchers()
        self.mover: MoverClient | None = None
        self.counters: Counter[str] = Counter()
        self.unit_seconds = 60.0
        self._succession = succession
        self._mover_path = mover_path
        self._storing = storing
        self._facts = facts
        self._of_flow: dict[int, CallRecording] = {}
        self._unsettled: dict[str, CallRecording] = {}
        self._cursor = 0
        self._recovered = False
        self._telling: set[asyncio.Task[None]] = set()
        self._plays: dict[tuple[str, str, str], asyncio.Future[Json]] = {}
        self.key_supply = KeySupply(keys, self.calls)
        self.key_supply.on_refused = lambda call, why: self.fail(call, "keys_refused", why)
        storing.known_key = self.key_supply.known
        storing.on_done = self._forget

    async def run_mover(self) -> None:
        """Stay attached to a mover; whatever an earlier writer left is taken over first."""
        while True:
            try:
                client = await MoverClient.attach(self._mover_path)
            except (OSError, RingDamaged) as error:
                log.warning("mover missing", why=str(error))
                await asyncio.sleep(REATTACH_SECONDS)
                continue
            client.on_happening = self._happened
            reading = asyncio.create_task(client.run(), name="mover")
            try:
                if await self._take_over(client):
                    await reading
            except MoverGone as gone:
                log.error("mover lost", why=str(gone))
            finally:
                reading.cancel()
            await self._let_go()

    async def run_drain(self) -> None:
        """Read the ring on a tick, and let others work between two batches."""
        while True:
            await self.read_out()
            await asyncio.sleep(TICK if self.calls else IDLE_TICK)

    async def run_sync(self) -> None:
        """Bring what was written to the disk, and end units that are long enough."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            open_units = {call.call: list(call.units.values()) for call in self.calls.values()}
            for name, why in (await asyncio.to_thread(_sync, open_units)).items():
                if name in self.calls:
                    self.fail(self.calls[name], "spool_unwritable", why)
            for call in list(self.calls.values()):
                if call.units and monotonic() - call.group_since >= self.unit_seconds:
                    self.store_group(call)

    @property
    def head(self) -> int:
        """Where the ring's next record will be put; how far was read, if the mover is gone."""
        return self._cursor if self.mover is None else self.mover.ring.head

    @property
    def ring_locked(self) -> bool:
        """True if the mover could lock the ring in memory."""
        return self.mover is not None and bool(self.mover.about.get("locked"))

    def add(self, call: CallRecording) -> None:
        """Begin to take a call's records."""
        self.calls[call.call] = call
        for flow in call.flows:
            self._of_flow[flow] = call

    async def read_out(self) -> None:
        """Take everything that is in the ring, batch by batch."""
        more = True
        while more:
            more = self.drain()
            await asyncio.sleep(0)

    def drain(self) -> bool:
        """Take a batch from the ring, write what is allowed; True if there may be more."""
        touched = dict(self._unsettled)
        found = self.mover is not None and self._read(self.mover.ring, touched)
        self._write(touched.values())
        if self.mover is not None:
            calls = [call for call in self._unsettled.values() if not call.detached]
            waiting = [place for call in calls if (place := call.oldest_undecided) is not None]
            self.mover.ring.tail = min([self._cursor, *waiting])
        return found

    def settle(self, call: CallRecording) -> bool:
        """Go on with a call whose gate was opened or shut; True if nothing of it is under way."""
        self._unsettled[call.call] = call
        self.drain()
        return call.call not in self._unsettled

    def _end(self, call: CallRecording, cause: str) -> None:
        call.handed_over = True
        if call.open_permit is None:
            cause = NOTHING
        if cause != NOTHING:
            try:
                # Of a call that a permit opened there is a log, or its disk was lost.
                call_log.append(call.log_path.resolve(strict=True), [call_log.closed_line(cause)])
            except OSError as error:
                self.fail(call, "spool_unwritable", str(error))
        self._storing.submit(Job(call.call, (), cause))

    def _read(self, ring: Ring, touched: dict[str, CallRecording]) -> bool:
        try:
            records, self._cursor = ring.read(self._cursor, BATCH)
        except RingDamaged as error:
            self.counters["ring_damaged"] += 1
            log.error("ring damaged", why=str(error))
            records, self._cursor = [], ring.head
        for position, record in records:
            call = self._of_flow.get(record.flow)
            if call is None:
                self.counters["unknown_flow"] += 1
            elif not call.failed:
                call.take(position, record)
                touched[call.call] = call
        return bool(records)

    def store_group(self, call: CallRecording) -> None:
        """End the units being written and have them stored."""
        names = call.end_group()
        if names:
            self._storing.submit(Job(call.call, tuple(names)))

    async def tell(self, call: CallRecording) -> Json:
        """Bring the mover to where the call's gate stands, and give the call as it then is there.

        The command is on its way before this first waits, and no command overtakes another.
        """
        if self.mover is None:
            raise Unavailable("mover_missing", "the media mover is not attached")
        tag, opening = tag_of(call), call.gate.asked
        if opening is not None:
            legs = [leg for leg in opening.permit.legs if leg in call.codecs]
            return await self.mover.command("permit", call=call.call, legs=legs, tag=tag)
        do = "cut" if call.ending is None else "close"
        return await self.mover.command(do, call=call.call, tag=tag)

    def end(self, call: CallRecording, cause: str) -> None:
        """Have all of a call stored that its gate lets through, and its last fact written, once."""
        if call.handed_over:
            return  # Close, `call.ended` and the mover's death may each end the same call.
        call.ending = call.ending or cause
        self.settle(call)

    def fail(self, call: CallRecording, cause: str, why: str) -> None:
        """Give up recording a call, and say so."""
        if call.failed:
            return
        with continued(call.traceparent, call.call):
            log.error("recording failed", call=call.call, cause=cause, why=why)
        call.failed = True
        call.unwritten.clear()
        call.gate.shut(State.ENDED, cause)
        call.gate.cut_at(0)
        self._unsettled[call.call] = call
        task = asyncio.get_running_loop().create_task(self._tell_failed(call))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        self.record_fact(call.call, RecordingFailed(cause=cause))
        self.watchers.tell(call.call, News("", "failed", cause=cause))

    def record_fact(self, call: str, fact: Fact, discriminator: str = "") -> None:
        """Journal a fact of a call, in the call's trace; it reaches the ledger in its turn."""
        known = self.calls.get(call)
        trace = traceparent_within(known.traceparent) if known else ""
        event = call_event(call, fact, utc_now(), discriminator)
        self._facts.record(dataclasses.replace(event, traceparent=trace))

    def played(self, call: str, notice: str, leg: str) -> asyncio.Future[Json]:
        """Give what will hold the report of a prompt that is being played."""
        new: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        return self._plays.setdefault((call, notice, leg), new)

    async def _tell_failed(self, call: CallRecording) -> None:
        """Have the mover capture no more of a call, so that no successor goes on with it."""
        with contextlib.suppress(Unavailable, Refused):
            await self.tell(call)

    def _write(self, calls: Iterable[CallRecording]) -> None:
        now = monotonic()
        for call in list(calls):
            try:
                if not call.write(now):
                    self.key_supply.want()
            except OSError as error:
                self.fail(call, "spool_unwritable", str(error))
            if self.mover is not None and not call.detached:
                call.report_progress(self.mover.ring)
            self._settle(call)

    def _settle(self, call: CallRecording) -> None:
        """Go on with a call whose gate was shut, once everything before that was written."""
        is_shut = call.gate.told is not State.OPEN
        is_read_out = call.detached or call.gate.is_read_out(self._cursor)
        if call.oldest_undecided is not None or (is_shut and not is_read_out):
            self._unsettled[call.call] = call
            return
        self._unsettled.pop(call.call, None)
        if is_shut:
            self.store_group(call)
        if call.ending is not None and not call.handed_over:
            self._end(call, call.ending)

    async def _take_over(self, client: MoverClient) -> bool:
        """Take on what the mover holds, then what only the spool knows of; False if it fails."""
        try:
            listed = (await client.command("list"))["calls"]
            for name in [found["call"] for found in listed if found["call"] in self.calls]:
                # Given up at an earlier attachment: its relay goes on, nobody records it on.
                ended = dataclasses.replace(self.calls[name], gate=Gate(State.ENDED))
                await client.command("cut", call=name, tag=tag_of(ended))
        except (Unavailable, Refused) as error:
            log.warning("mover cannot be taken over", why=str(error))
            return False
        self.mover, self._cursor = client, client.ring.tail
        known = {found["call"] for found in listed}
        fresh = [found for found in listed if found["call"] not in self.calls]
        adopted = [found for found in fresh if self._adopt(found, client.ring)]
        if not self._recovered:
            self._recovered = True
            for name in await asyncio.to_thread(calls_in, self._succession.spool):
                if name not in known:
                    cause = self._succession.end_cause(name)
                    with continued(self._succession.traceparent(name), name):
                        log.warning("spool taken over", call=name, cause=cause)
                    self._storing.submit(Job(name, (), cause))
        self.key_supply.want()
        for found in adopted:
            self._resume(self.calls[found["call"]], found)
        return True

    def _adopt(self, found: Json, ring: Ring) -> bool:
        try:
            call = self._succession.adopt(found, ring)
        except (LedgerError, ValueError, KeyError, TypeError, OSError) as error:
            # Its relay goes on in the mover; what it recorded so far stays in the spool.
            log.error("call cannot be taken over", call=found["call"], why=repr(error))
            self.record_fact(found["call"], RecordingFailed(cause="not_taken_over"))
            return False
        self.add(call)
        with continued(call.traceparent, call.call):
            log.info("call taken over", call=call.call, gate=call.gate.state)
        return True

    def _resume(self, call: CallRecording, found: Json) -> None:
        """Bring a call that was taken over to where its signalling left it."""
        older = [name for name in left_over(call.spool, call.call) if name.epoch != call.epoch]
        if older:
            self._storing.submit(Job(call.call, tuple(older)))
        done = found["closed"] and not CallLog.read(call.log_path).permits
        if not done:
            self._repeat_facts(call, found)
        if found["closed"]:
            cause = self._succession.end_cause(call.call, call.gate.cause or "call_ended")
            self.end(call, NOTHING if done else cause)
        else:
            self.settle(call)

    def _repeat_facts(self, call: CallRecording, found: Json) -> None:
        """Write the facts again that the earlier writer may have died before writing."""
        if call.open_permit is None:
            return
        permit = call.open_permit.permit
        fact = started(permit, resumed=len(call.gate.used) > 1)
        self.record_fact(call.call, fact, permit.permit_id)
        if call.gate.state is not State.OPEN:
            paused = call.gate.state is State.PAUSED
            received = {leg: one["received"] for leg, one in found["legs"].items()}
            actor = Actor(call.gate.cause or "call_ended", "system")
            self.record_fact(
                call.call, stopped(permit, actor, received, paused=paused), permit.permit_id
            )

    async def _let_go(self) -> None:
        """The mover is gone: keep what it had put into the ring, end its calls."""
        await self.read_out()
        self.mover = None
        self._of_flow.clear()
        for call in list(self.calls.values()):
            self.watchers.tell(call.call, News("", "failed", cause="mover_lost"))
            call.gate.shut(State.ENDED, "mover_lost")
            # What still waits for a unit key is in memory; the next ring knows nothing of it.
            call.gate.cut_at(0)
            call.detached = True
            self.end(call, "mover_lost")

    async def _forget(self, call: str) -> None:
        """A call is stored to its last fact: the mover need not keep it any longer."""
        found = self.calls.get(call)
        self._leave(call)
        # The mover that has it now, if any, may have been given it anew.
        if self.mover is not None and found is not None and not found.detached:
            with contextlib.suppress(Unavailable, Refused):
                await self.mover.command("forget", call=call)

    def _leave(self, call: str) -> None:
        found = self.calls.pop(call, None)
        for flow in found.flows if found else ():
            self._of_flow.pop(flow, None)
        self._unsettled.pop(call, None)
        for place in [place for place in self._plays if place[0] == call]:
            waiting = self._plays.pop(place)
            if not waiting.done():
                waiting.set_exception(Refused("leg_closed", "the call ended before the prompt did"))
                waiting.exception()  # Whoever asked may be gone: then nobody is to be told.
        self.watchers.end(call)

    def _happened(self, happening: Json) -> None:
        call, leg = str(happening["call"]), str(happening["leg"])
        if happening["what"] == "played":
            report = happening["report"]
            waiting = self._plays.pop((call, report["notice"], leg), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(report)
            return
        digit, duration = happening.get("digit", ""), happening.get("duration_ms", 0)
        self.watchers.tell(call, News(leg, happening["what"], digit, duration))


def _sync(open_units: Mapping[str, Sequence[OpenUnit]]) -> dict[str, str]:
    """Sync the units of many calls; give, by call, why one failed."""
    failed = {}
    for call, units in open_units.items():
        try:
            for unit in units:
                unit.sync()
        except OSError as error:
            failed[call] = str(error)
    return failed
