"""The use case of listening: nothing leaves before the access is in the ledger.

The stored units are read twice. The first pass verifies every unit and finds where its frames
belong, so that damage is reported before the first byte and the WAV header tells the true length;
the second renders block by block. In memory at any time: the units that sound at that moment,
about 0.5 MB for each of up to four legs, and one block.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from onrecord.platform.errors import Damaged, InvalidInput, NotFound, Overloaded, Refused
from onrecord.platform.telemetry import get_logger
from onrecord.retrieval.domain.access import Access
from onrecord.retrieval.domain.call import Call, TimelineFact
from onrecord.retrieval.domain.placement import Placement
from onrecord.retrieval.domain.release import Unit, purposes_told, stored_units
from onrecord.retrieval.domain.render import LEFT, MAX_SAMPLES, Run, mix, runs, wav_header
from onrecord.rtp.storage.unit import Frame

log = get_logger()

BLOCK_SAMPLES = 16_384
"""Samples of one piece, of 64 KiB: two seconds."""

MAX_LISTENERS = 50
"""Streams at once; more are refused, because each holds units in memory."""


class Calls(Protocol):
    """The index."""

    async def get(self, call: str) -> tuple[Call, tuple[TimelineFact, ...]] | None:
        """The call's summary and facts; None for a call that is not known."""


class Keys(Protocol):
    """The ledger, as the only source of unit keys."""

    async def open_audio(self, access: Access) -> dict[str, bytes]:
        """Commit the access, then return the unit keys by reference."""


class Units(Protocol):
    """The stored units."""

    async def read(self, unit: Unit, key: bytes) -> tuple[str, list[Frame]]:
        """The codec and frames of a unit, verified. Raises Damaged."""


@dataclass(frozen=True)
class _Placed:
    """A unit whose place in time is known, and the state with which to place its frames again."""

    unit: Unit
    key: bytes
    before: Placement
    begin: int
    end: int


class Playback:
    """Releases a call's audio as a WAV file, left caller, right agent."""

    def __init__(self, calls: Calls, keys: Keys, units: Units) -> None:
        self._calls = calls
        self._keys = keys
        self._units = units
        self._listeners = 0

    async def stream(self, access: Access) -> AsyncGenerator[bytes, None]:
        """The file in pieces of at most 64 KiB.

        Raises NotFound for a call that is not known; Refused when nothing of it is kept, naming
        the verdict; InvalidInput for a purpose that the parties were not told of, naming those
        they were; Damaged, naming the unit; Overloaded; what the ledger says to the access.
        """
        units = await self._releasable(access)
        if self._listeners >= MAX_LISTENERS:
            raise Overloaded("listeners_full", f"{MAX_LISTENERS} are listening")
        self._listeners += 1
        try:
            keys = await self._keys.open_audio(access)
            log.info("audio released", call=access.call, purpose=access.purpose, units=len(units))
            placed = await self._survey(units, keys)
            async for piece in self._render(placed):
                yield piece
        finally:
            self._listeners -= 1

    async def _releasable(self, access: Access) -> tuple[Unit, ...]:
        found = await self._calls.get(access.call)
        if found is None:
            raise NotFound("call_unknown", f"there is no call {access.call}")
        call, timeline = found
        units = stored_units(timeline)
        if not units and call.was_never_answered:
            raise Refused(
                "never_answered", f"nothing is kept: it was never answered ({call.sip_code})"
            )
        if not units:
            because = ", ".join([*call.causes, *filter(None, [call.rule])])
            verdict = call.verdict or "none yet"
            raise Refused(
                "nothing_kept",
                f"nothing is kept of this call; its verdict: {verdict}"
                + (f" ({because})" if because else ""),
            )
        told = purposes_told(timeline)
        if access.purpose not in told:
            raise InvalidInput(
                "purpose_not_told",
                f"the parties were not told of {access.purpose!r}, "
                f"only of: {', '.join(sorted(told)) or 'nothing'}",
            )
        return units

    async def _survey(self, units: Sequence[Unit], keys: Mapping[str, bytes]) -> list[_Placed]:
        """Verify every unit and find its place; legs side by side, each in its own order."""
        legs = sorted({unit.leg for unit in units})
        try:
            async with asyncio.TaskGroup() as group:
                surveys = [
                    group.create_task(
                        self._survey_leg([unit for unit in units if unit.leg == leg], keys),
                        name=f"survey {leg}",
                    )
                    for leg in legs
                ]
        except ExceptionGroup as failed:
            # The others were cancelled: one unit that cannot be used is enough to say no.
            raise failed.exceptions[0] from failed
        return [placed for survey in surveys for placed in survey.result()]

    async def _survey_leg(self, units: Sequence[Unit], keys: Mapping[str, bytes]) -> list[_Placed]:
        placement = Placement()
        found = []
        for unit in units:
            key = keys.get(unit.key_ref)
            if key is None:
                raise Refused("key_destroyed", f"the key of {unit.object_key} is gone")
            before = placement.copy()
            codec, frames = await self._units.read(unit, key)
            if heard := runs(placement, codec, frames):
                begin, end = min(run.position for run in heard), max(run.end for run in heard)
                found.append(_Placed(unit, key, before, begin, end))
        return found

    async def _render(self, placed: Sequence[_Placed]) -> AsyncGenerator[bytes, None]:
        begin = min((one.begin for one in placed), default=0)
        end = max((one.end for one in placed), default=0)
        if end - begin > MAX_SAMPLES:
            raise Damaged("too_long", f"frames lie {(end - begin) / 8000:.0f} s apart")
        yield wav_header(end - begin)
        waiting = sorted(placed, key=lambda one: one.begin, reverse=True)
        sounding: list[tuple[_Placed, list[Run]]] = []
        for at in range(begin, end, BLOCK_SAMPLES):
            samples = min(BLOCK_SAMPLES, end - at)
            sounding = [(one, heard) for one, heard in sounding if one.end > at]
            while waiting and waiting[-1].begin < at + samples:
                one = waiting.pop()
                codec, frames = await self._units.read(one.unit, one.key)
                sounding.append((one, runs(one.before, codec, frames)))
            left = [run for one, heard in sounding if one.unit.leg in LEFT for run in heard]
            right = [run for one, heard in sounding if one.unit.leg not in LEFT for run in heard]
            yield mix(left, right, at, samples)
