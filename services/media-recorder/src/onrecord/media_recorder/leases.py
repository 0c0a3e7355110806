"""Calls whose signalling is gone, and legs that fell silent."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

from onrecord.media_recorder.mover.control import Json
from onrecord.media_recorder.operations import Operations
from onrecord.media_recorder.recorder import Recorder
from onrecord.media_recorder.watching import News
from onrecord.platform.clock import monotonic
from onrecord.platform.errors import Refused, Unavailable
from onrecord.platform.telemetry import continued, get_logger

log = get_logger()
LOOK_SECONDS: Final = 1.0


@dataclass(slots=True)
class Leases:
    """Looks once a second; all times in seconds.

    A call that was not renewed for `lease` has lost its signalling: it is relayed and recorded on
    under its permit, and closed after `orphan` without RTP on any leg. One that only the
    mover has is closed so too.
    """

    recorder: Recorder
    operations: Operations
    lease: float
    orphan: float
    rtp_timeout: float
    _silent: set[tuple[str, str]] = field(default_factory=set)
    # Calls that only the mover has, and since when.
    _strange: dict[str, float] = field(default_factory=dict)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self.lease / 4))
            if self.recorder.mover is None:
                continue
            try:
                silences = await self.recorder.mover.command("silences")
            except (Unavailable, Refused) as error:
                log.warning("mover does not answer", why=str(error))
                continue
            await self._look(silences, monotonic())

    async def _look(self, silences: Json, now: float) -> None:
        """Look at every leg's silence; null where nothing ever came."""
        calls = self.recorder.calls
        self._strange = {one: self._strange.get(one, now) for one in silences if one not in calls}
        for name, legs in silences.items():
            call = calls.get(name)
            if call is None:
                if self._is_lost(now - self._strange.get(name, now), legs):
                    await self._forget(name)
            elif call.ending is None:
                for leg, silent in legs.items():
                    self._look_at_leg(name, leg, silent)
                if self._is_lost(now - call.renewed, legs):
                    with continued(call.traceparent, name):
                        log.warning("signalling lost", call=name)
                        await self.operations.close(name, "signalling_lost")
        self._silent = {place for place in self._silent if place[0] in calls}

    def _is_lost(self, unnamed: float, legs: Json) -> bool:
        silent = min((one for one in legs.values() if one is not None), default=unnamed)
        return unnamed > self.lease and min(silent, unnamed) > self.orphan

    async def _forget(self, name: str) -> None:
        """Have the mover end a call whose Open was never answered: nobody else would."""
        log.warning("strange call forgotten", call=name)
        with contextlib.suppress(Unavailable, Refused):
            if self.recorder.mover is not None:
                await self.recorder.mover.command("forget", call=name)

    def _look_at_leg(self, call: str, leg: str, silent: float | None) -> None:
        if silent is None or silent < self.rtp_timeout:
            self._silent.discard((call, leg))
        elif (call, leg) not in self._silent:
            self._silent.add((call, leg))
            self.recorder.watchers.tell(call, News(leg, "rtp_timeout", seconds=int(silent)))
