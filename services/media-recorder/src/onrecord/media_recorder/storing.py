"""From the spool to the store: seal once, put create-only, verify, list in the ledger, unlink.

Every step may be repeated after a kill at any place: the object's bytes are made once and kept
until the ledger has listed them, an object that is already there must be the same, and each fact's
id follows from what it lists. I3: a spool file goes only when its object was verified and its entry
is committed. I9: an object key is never given a second body.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, TypeVar

from onrecord.contracts.event import call_event
from onrecord.contracts.events import RecordingFailed, RecordingStored, StoredUnit
from onrecord.contracts.fact import Fact
from onrecord.ledger.permit import SignedPermit
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.call_log import CallLog
from onrecord.media_recorder.adapters.spool import (
    SpoolDamaged,
    UnitName,
    WrittenUnit,
    left_over,
    read_open,
    write_whole,
)
from onrecord.media_recorder.adapters.unit_keys import UnitKeys
from onrecord.media_recorder.listing import NamedGap, manifest, named_gaps, sealed_unit
from onrecord.platform.clock import utc_now
from onrecord.platform.errors import Unavailable
from onrecord.platform.facts import FactWriter
from onrecord.platform.objects import ObjectExists, ObjectStore
from onrecord.platform.telemetry import continued, get_logger, tracer
from onrecord.rtp.storage.sealing import PREFIX_OCTETS, SALT_OCTETS, seal
from onrecord.rtp.storage.unit import encode_unit

log = get_logger()
T = TypeVar("T")
COMMIT_SECONDS: Final = 10.0
MAX_DELAY: Final = 10.0


# The end of a call of which nothing is to be stored or told.
NOTHING: Final = "nothing_kept"


class Conflict(Exception):
    """The store holds another body under this object's key: somebody must look."""


@dataclass(frozen=True, slots=True)
class Job:
    """Units to be stored; with `ended`, the call's end and its cause."""

    call: str
    names: tuple[UnitName, ...]
    ended: str | None = None


class Storing:
    """Stores what it is given, call by call in the order given, however long an outage lasts."""

    def __init__(self, spool: Path, store: ObjectStore, facts: FactWriter, keys: UnitKeys) -> None:
        """`known_key` gives a unit's key that is still in memory; the ledger is asked otherwise."""
        self._spool = spool
        self._store = store
        self._facts = facts
        self._keys = keys
        # Bounded by the spool: a job names files in it, and a full disk ends recording first.
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._locks: dict[str, asyncio.Lock] = {}
        self.known_key: Callable[[str, str], bytes | None] = lambda _call, _key_ref: None
        self.on_done: Callable[[str], Awaitable[None]] = _ignore

    def submit(self, job: Job) -> None:
        """Have a group of units stored, or a call ended."""
        self._jobs.put_nowait(job)

    async def run(self) -> None:
        """Work until cancelled; run several of these to store several calls at once."""
        while True:
            job = await self._jobs.get()
            async with self._locks.setdefault(job.call, asyncio.Lock()):
                if job.ended != NOTHING:
                    await self._do_traced(job)
            if job.ended is not None:
                self._locks.pop(job.call, None)
                await self.on_done(job.call)

    async def _do_traced(self, job: Job) -> None:
        # Signalling's Close and `call.ended` may each end a call: the second finds it gone.
        if not job.names and not (self._spool / job.call).exists():
            return
        written = CallLog.read(self._spool / job.call / "log")
        with (
            continued(written.traceparent, job.call),
            tracer().start_as_current_span("recording.store"),
        ):
            await self._do(job)

    async def _do(self, job: Job) -> None:
        try:
            await self._store_units(job.call, job.names)
            if job.ended is not None:
                await self._store_units(job.call, tuple(left_over(self._spool, job.call)))
                await self._end(job.call, job.ended)
        except (Conflict, SpoolDamaged) as error:
            cause = "object_conflict" if isinstance(error, Conflict) else "spool_damaged"
            log.error("recording failed", call=job.call, cause=cause, why=str(error))
            self._record(job.call, RecordingFailed(cause=cause), "")

    async def _store_units(self, call: str, names: Sequence[UnitName]) -> None:
        ordered = sorted(names, key=lambda name: (name.epoch, name.k, name.leg))
        for (epoch, k), group in groupby(ordered, key=lambda name: (name.epoch, name.k)):
            units = [
                await _persist(lambda name=name: self._store_unit(name))  # type: ignore[misc]
                for name in group
            ]
            stored = tuple(unit for unit in units if unit is not None)
            if not stored:
                continue
            fact = RecordingStored(units=stored, final=False, unit_count=len(stored))
            self._record(call, fact, f"{epoch}:{k}")
            await self._committed(call)
            for unit in stored:
                name = UnitName(call, unit.leg, epoch, k)
                name.path(self._spool, "sealed").unlink(missing_ok=True)

    async def _store_unit(self, name: UnitName) -> StoredUnit | None:
        """Seal if need be, put and verify one unit; None if it holds no frame."""
        sealed_path = name.path(self._spool, "sealed")
        if not sealed_path.exists() and not await self._seal(name):
            return None
        body = await asyncio.to_thread(sealed_path.read_bytes)
        written = CallLog.read(self._spool / name.call / "log")
        listed = written.units.get((name.leg, name.epoch, name.k))
        if listed is None:
            raise SpoolDamaged(f"{name.object_key}.sealed is not in the call's log")
        unit = listed.unit
        if hashlib.sha256(body).hexdigest() != unit.sha256:
            raise SpoolDamaged(f"{name.object_key}.sealed is not what was sealed")
        await self._put(unit.object_key, body, unit.sha256)
        await asyncio.to_thread(name.path(self._spool, "open").unlink, missing_ok=True)
        return unit

    async def _put(self, key: str, body: bytes, sha256: str) -> None:
        try:
            await self._store.put_new(key, body, sha256)
        except ObjectExists:
            log.info("object was there", object_key=key)
        if (found := await self._store.sha256(key)) != sha256:
            if found is None:
                raise Unavailable("object_store_unavailable", f"{key} is not there after its put")
            raise Conflict(f"{key} holds another body")

    async def _seal(self, name: UnitName) -> bool:
        """Make the object's bytes, once; False if there is nothing to seal."""
        open_path = name.path(self._spool, "open")
        written = await asyncio.to_thread(read_open, open_path)
        if written.torn:
            log.warning("torn tail cut", unit=name.object_key, octets=written.torn)
        if not written.frames:
            await asyncio.to_thread(open_path.unlink)
            return False
        key = await self._key(name.call, written)
        await asyncio.to_thread(self._make_object, name, written, key)
        return True

    def _make_object(self, name: UnitName, written: WrittenUnit, key: bytes) -> None:
        frames = written.decrypt(key)
        body = seal(
            encode_unit(written.header.unit, frames),
            key,
            name.object_key.encode(),
            salt=secrets.token_bytes(SALT_OCTETS),
            nonce_prefix=secrets.token_bytes(PREFIX_OCTETS),
        )
        line = call_log.unit_line(sealed_unit(name, written, frames, body))
        # The log comes first: a `.sealed` file without its line could not be listed.
        call_log.append(self._spool / name.call / "log", [line])
        write_whole(name.path(self._spool, "sealed"), body)

    async def _key(self, call: str, written: WrittenUnit) -> bytes:
        key_ref = written.header.key_ref
        if known := self.known_key(call, key_ref):
            return known
        signed = SignedPermit(written.header.permit_payload, written.header.permit_signature)
        number = int(key_ref.rpartition("/")[2])
        return (await self._keys.fetch(signed, number, 1))[number]

    async def _end(self, call: str, cause: str) -> None:
        written = CallLog.read(self._spool / call / "log")
        gaps = named_gaps(written, cause)
        for gap in gaps:
            self._record(call, gap.fact(), gap.discriminator)
        body = await asyncio.to_thread(self._manifest, call, written, gaps)
        digest = hashlib.sha256(body).hexdigest()
        await _persist(lambda: self._put(f"{call}/manifest", body, digest))
        fact = RecordingStored(
            units=(),
            final=True,
            unit_count=len(written.units),
            manifest_key=f"{call}/manifest",
            manifest_sha256=digest,
        )
        self._record(call, fact, "final")
        await self._committed(call)
        await asyncio.to_thread(shutil.rmtree, self._spool / call)

    def _manifest(self, call: str, written: CallLog, gaps: Sequence[NamedGap]) -> bytes:
        """Give the manifest; made once, so that a restart does not make another."""
        path = self._spool / call / "manifest"
        if path.exists():
            return path.read_bytes()
        body = manifest(call, written, gaps)
        write_whole(path, body)
        return body

    def _record(self, call: str, fact: Fact, discriminator: str) -> None:
        self._facts.record(call_event(call, fact, utc_now(), discriminator))

    async def _committed(self, call: str) -> None:
        while True:
            try:
                await self._facts.drained(call, COMMIT_SECONDS)
            except TimeoutError:
                log.warning("facts wait for the ledger", call=call, facts=len(self._facts))
            else:
                return


async def _ignore(_call: str) -> None:
    return None


async def _persist(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try until what is unavailable comes back: the spool keeps the audio meanwhile."""
    delay = 0.1
    while True:
        try:
            return await attempt()
        except (Unavailable, OSError) as error:
            log.warning("storing waits", why=str(error), retry_in=delay)
        # Jitter, so that all calls of a node do not come back in one instant.
        await asyncio.sleep(delay * (0.5 + random.random()))  # noqa: S311
        delay = min(delay * 2, MAX_DELAY)
