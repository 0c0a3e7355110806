"""Calls whose signalling is gone, and legs that fell silent."""

from __future__ import annotations

import asyncio
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
    under its permit, and closed after `orphan` without RTP on any leg.
    """

    recorder: Recorder
    operations: Operations
    lease: float
    orphan: float
    rtp_timeout: float
    _silent: set[tuple[str, str]] = field(default_factory=set)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, self.lease / 4))
            if self.recorder.mover is None or not self.recorder.calls:
                continue
            try:
                silences = await self.recorder.mover.command("silences")
            except (Unavailable, Refused) as error:
                log.warning("mover does not answer", why=str(error))
                continue
            await self._look(silences, monotonic())

    async def _look(self, silences: Json, now: float) -> None:
        """Look at every leg's silence; null where nothing ever came."""
        for name, legs in silences.items():
            call = self.recorder.calls.get(name)
            if call is None or call.ending is not None:
                continue
            for leg, silent in legs.items():
                self._look_at_leg(name, leg, silent)
            unnamed = now - call.renewed
            silent = min((one for one in legs.values() if one is not None), default=unnamed)
            if unnamed > self.lease and min(silent, unnamed) > self.orphan:
                with continued(call.traceparent, name):
                    log.warning("signalling lost", call=name)
                    await self.operations.close(name, "signalling_lost")
        self._silent = {place for place in self._silent if place[0] in self.recorder.calls}

    def _look_at_leg(self, call: str, leg: str, silent: float | None) -> None:
        if silent is None or silent < self.rtp_timeout:
            self._silent.discard((call, leg))
        elif (call, leg) not in self._silent:
            self._silent.add((call, leg))
            self.recorder.watchers.tell(call, News(leg, "rtp_timeout", seconds=int(silent)))
