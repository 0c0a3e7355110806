"""From the spool to the store: seal once, put create-only, verify, list in the ledger, unlink.

Every step may be repeated after a kill at any place: the object's bytes are made once and kept
until the ledger has listed them, an object that is already there must be the same, and each fact's
id follows from what it lists. I3: a spool file goes only when its object was verified and its entry
is committed. I9: an object key is never given a second body.

A call that was to be kept ends in `recording.stored` with `final`, or in `recording.failed`: what
is refused for good is named at once; what is only unavailable is waited for, and named when the
call has been over for long. What could not be stored stays in the spool, and is tried again at the
next start.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar

from onrecord.contracts.event import call_event
from onrecord.contracts.events import RecordingFailed, RecordingStored, StoredUnit
from onrecord.contracts.fact import Fact
from onrecord.media_recorder.adapters.call_log import CallLog
from onrecord.media_recorder.adapters.spool import (
    SpoolDamaged,
    UnitName,
    left_over,
    remove_call,
    write_whole,
)
from onrecord.media_recorder.adapters.unit_keys import UnitKeys
from onrecord.media_recorder.listing import NamedGap, manifest, named_gaps
from onrecord.media_recorder.sealing import Sealing
from onrecord.platform.clock import monotonic, utc_now
from onrecord.platform.errors import Overloaded, PlatformError, Refused, Unavailable
from onrecord.platform.facts import FactWriter
from onrecord.platform.objects import ObjectExists, ObjectStore
from onrecord.platform.telemetry import continued, get_logger, tracer

log = get_logger()
T = TypeVar("T")
# Steps at once: an object put waits for the network, sealing is short. Who waits holds no place.
AT_ONCE: Final = 4
COMMIT_SECONDS: Final = 10.0
FIRST_DELAY: Final = 0.1
MAX_DELAY: Final = 10.0
# So long after its end a call that cannot be stored is said to have failed; it is tried on.
PATIENCE_SECONDS: Final = 3600.0

# The end of a call of which nothing is to be stored or told.
NOTHING: Final = "nothing_kept"


class Conflict(Exception):
    """The store holds another body under this object's key: somebody must look."""


class NotListed(Exception):
    """The ledger refused an entry without which nothing may go from the spool."""


# Whatever is tried again, these stay.
DEFINITE: Final = (Conflict, NotListed, SpoolDamaged, Refused)


def cause_of(error: Exception) -> str:
    """Name the cause that `recording.failed` gives for an error of storing."""
    match error:
        case Conflict():
            return "object_conflict"
        case NotListed():
            return "not_listed"
        case SpoolDamaged():
            return "spool_damaged"
        case PlatformError():
            return error.reason
        case OSError():
            return "spool_unusable"
    return "storing_failed"


@dataclass(frozen=True, slots=True)
class Job:
    """Units to be stored; with `ended`, the call's end and its cause: all that is left of it."""

    call: str
    names: tuple[UnitName, ...]
    ended: str | None = None


@dataclass(slots=True)
class _Call:
    """What is to be done for a call, in order; the first job is being done.

    `over_since` is when its end was submitted, in monotonic seconds; `told`, that an outage was
    said to last too long.
    """

    jobs: deque[Job] = field(default_factory=deque)
    over_since: float | None = None
    told: bool = False


class Storing:
    """Stores what it is given, call by call in the order given, however long an outage lasts.

    `kept` names the calls whose audio stays in the spool, as storing it failed; `patience` is how
    many seconds after a call's end an outage is said to be one.
    """

    def __init__(self, spool: Path, store: ObjectStore, facts: FactWriter, keys: UnitKeys) -> None:
        """`known_key` gives a unit's key that is still in memory; the ledger is asked otherwise."""
        self._spool = spool
        self._objects = store
        self._facts = facts
        self._sealing = Sealing(spool, keys, self._known_key)
        # Bounded by the spool: a job names files in it, and a full disk ends recording first.
        self._calls: dict[str, _Call] = {}
        self._new: asyncio.Queue[str] = asyncio.Queue()
        self._places = asyncio.Semaphore(AT_ONCE)
        self.patience = PATIENCE_SECONDS
        self.kept: set[str] = set()
        self.known_key: Callable[[str, str], bytes | None] = lambda _call, _key_ref: None
        self.on_done: Callable[[str], Awaitable[None]] = _ignore

    def submit(self, job: Job) -> None:
        """Have a group of units stored, or a call ended."""
        if job.call not in self._calls:
            self._calls[job.call] = _Call()
            self._new.put_nowait(job.call)
        call = self._calls[job.call]
        call.jobs.append(job)
        if job.ended is not None:
            call.over_since = monotonic()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                call = await self._new.get()
                group.create_task(self._store_call(call), name=f"store {call}")

    async def _store_call(self, call: str) -> None:
        jobs = self._calls[call].jobs
        while jobs:
            try:
                await self._do(jobs[0])
            except Exception as error:
                # A fault of ours in one call must not keep all others from being stored.
                log.exception("storing broke off", call=call)
                await self._fail(call, error)
            if jobs.popleft().ended is not None:
                await self.on_done(call)
        del self._calls[call]

    async def _do(self, job: Job) -> None:
        folder = self._spool / job.call
        # Signalling's Close and `call.ended` may each end a call: the second finds it gone.
        if not await asyncio.to_thread(folder.exists):
            return
        written = await asyncio.to_thread(CallLog.read, folder / "log")
        left = await asyncio.to_thread(lambda: tuple(left_over(self._spool, job.call)))
        if job.ended is not None and not written.permits and not left:
            # Nothing was ever allowed, or a kill came between the log's removal and the folder's.
            await self._persist(job.call, partial(asyncio.to_thread, remove_call, folder))
            return
        with (
            continued(written.traceparent, job.call),
            tracer().start_as_current_span("recording.store"),
        ):
            await self._store(job, left)

    async def _store(self, job: Job, left: Sequence[UnitName]) -> None:
        if job.ended is None:
            await self._store_units(job.call, job.names)
            return
        if not await self._store_units(job.call, left):
            return
        try:
            await self._end(job.call, job.ended)
        except DEFINITE as error:
            await self._fail(job.call, error)
        else:
            self.kept.discard(job.call)

    async def _store_units(self, call: str, names: Sequence[UnitName]) -> bool:
        """Store group by group; False if something stays in the spool, which was then said."""
        ordered = sorted(names, key=lambda name: (name.epoch, name.k, name.leg))
        complete = True
        for (epoch, k), group in groupby(ordered, key=lambda name: (name.epoch, name.k)):
            units, whole = await self._store_group(call, tuple(group))
            if whole:
                lists = {f"{epoch}:{k}": units} if units else {}
            else:
                # One by one: an entry's id must list the same however often it is tried.
                lists = {f"{epoch}:{k}:{unit.leg}": [unit] for unit in units}
            for discriminator, listed in lists.items():
                whole &= await self._list(call, discriminator, listed)
            complete &= whole
        return complete

    async def _store_group(
        self, call: str, names: Sequence[UnitName]
    ) -> tuple[list[StoredUnit], bool]:
        """Put a group's units; give those with frames, and whether none of them failed."""
        units, whole = [], True
        for name in names:
            try:
                unit = await self._persist(call, partial(self._store_unit, name))
            except DEFINITE as error:
                await self._fail(call, error)
                whole = False
            else:
                units += [unit] if unit is not None else []
        return units, whole

    async def _list(self, call: str, discriminator: str, units: Sequence[StoredUnit]) -> bool:
        """Have units listed by the ledger, then unlink them; False if it refused."""
        fact = RecordingStored(units=tuple(units), final=False, unit_count=len(units))
        try:
            await self._commit(call, [(fact, discriminator)])
        except NotListed as error:
            await self._fail(call, error)
            return False
        for unit in units:
            path = UnitName(call, unit.leg, unit.epoch, unit.k).path(self._spool, "sealed")
            await self._persist(call, partial(asyncio.to_thread, path.unlink, missing_ok=True))
        return True

    async def _store_unit(self, name: UnitName) -> StoredUnit | None:
        """Seal if need be, put and verify one unit; None if it holds no frame or is stored."""
        found = await self._sealing.sealed(name)
        if found is None:
            return None
        unit = found.unit
        await self._put(unit.object_key, found.body, unit.sha256)
        await asyncio.to_thread(name.path(self._spool, "open").unlink, missing_ok=True)
        return unit

    async def _put(self, key: str, body: bytes, sha256: str) -> None:
        try:
            await self._objects.put_new(key, body, sha256)
        except ObjectExists:
            log.info("object was there", object_key=key)
        if (found := await self._objects.sha256(key)) != sha256:
            if found is None:
                raise Unavailable("object_store_unavailable", f"{key} is not there after its put")
            raise Conflict(f"{key} holds another body")

    async def _end(self, call: str, cause: str) -> None:
        """Name the gaps, put the manifest, say that all is stored, and leave the spool."""
        folder = self._spool / call
        written = await self._persist(
            call, partial(asyncio.to_thread, CallLog.read, folder / "log")
        )
        gaps = named_gaps(written, cause)
        body = await self._persist(
            call, partial(asyncio.to_thread, self._manifest, call, written, gaps)
        )
        digest = hashlib.sha256(body).hexdigest()
        await self._persist(call, partial(self._put, f"{call}/manifest", body, digest))
        final = RecordingStored(
            units=(),
            final=True,
            unit_count=len(written.units),
            manifest_key=f"{call}/manifest",
            manifest_sha256=digest,
        )
        # What is missing is on record before anybody reads that this is all.
        await self._commit(call, [(gap.fact(), gap.discriminator) for gap in gaps])
        await self._commit(call, [(final, "final")])
        await self._persist(call, partial(asyncio.to_thread, remove_call, folder))

    def _manifest(self, call: str, written: CallLog, gaps: Sequence[NamedGap]) -> bytes:
        """Give the manifest; made once, so that a restart does not make another."""
        path = self._spool / call / "manifest"
        if path.exists():
            return path.read_bytes()
        body = manifest(call, written, gaps)
        write_whole(path, body)
        return body

    def _known_key(self, call: str, key_ref: str) -> bytes | None:
        return self.known_key(call, key_ref)

    async def _fail(self, call: str, error: Exception) -> None:
        """Say that something of a call is not stored; it stays in the spool."""
        cause = cause_of(error)
        log.error("recording failed", call=call, cause=cause, why=str(error))
        self.kept.add(call)
        await self._record(call, RecordingFailed(cause=cause), cause)

    async def _record(self, call: str, fact: Fact, discriminator: str) -> str:
        """Journal a fact, once there is room for it, and give its id."""
        event = call_event(call, fact, utc_now(), discriminator)
        delay = FIRST_DELAY
        while True:
            try:
                self._facts.record(event)
            except (Overloaded, OSError) as error:
                log.warning("journal does not take facts", call=call, why=str(error))
                delay = await _back_off(delay)
            else:
                return event.event_id

    async def _commit(self, call: str, facts: Sequence[tuple[Fact, str]]) -> None:
        """Have facts in the log. Raises `NotListed` if the ledger refuses one for good."""
        ids = [await self._record(call, *fact) for fact in facts]
        while True:
            try:
                await self._facts.drained(call, COMMIT_SECONDS)
                break
            except TimeoutError:
                log.warning("facts wait for the ledger", call=call, facts=len(self._facts))
        if refused := [event_id for event_id in ids if self._facts.was_refused(event_id)]:
            raise NotListed(", ".join(refused))

    async def _persist(self, call: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until what is unavailable comes back: the spool keeps the audio meanwhile."""
        delay = FIRST_DELAY
        while True:
            try:
                async with self._places:
                    return await attempt()
            except (Unavailable, OSError) as error:
                log.warning("storing waits", call=call, why=str(error))
                await self._lose_patience(self._calls[call], call, error)
            delay = await _back_off(delay)

    async def _lose_patience(self, waiting: _Call, call: str, error: Exception) -> None:
        """Say once, long after a call's end, that it waits for something; it is tried on."""
        over = waiting.over_since
        if over is not None and not waiting.told and monotonic() - over >= self.patience:
            waiting.told = True
            await self._fail(call, error)


async def _ignore(_call: str) -> None:
    return None


async def _back_off(delay: float) -> float:
    """Wait for about `delay` seconds and give the next delay."""
    # Jitter, so that all calls of a node do not come back in one instant.
    await asyncio.sleep(delay * (0.5 + random.random()))  # noqa: S311
    return min(delay * 2, MAX_DELAY)
