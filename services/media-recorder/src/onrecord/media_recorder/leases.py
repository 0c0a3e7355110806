"""Calls whose signalling is gone, and legs that fell silent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from onrecord.media_recorder.mover.control import Json
from onrecord.media_recorder.operations import Operations
from onrecord.media_recorder.recorder import Recorder
from onrecord.media_recorder.watching import News
from onrecord.platform.clock import monotonic, utc_now
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
                arrivals = await self.recorder.mover.command("arrivals")
            except (Unavailable, Refused) as error:
                log.warning("mover does not answer", why=str(error))
                continue
            await self._look(arrivals, utc_now().timestamp())

    async def _look(self, arrivals: Json, now: float) -> None:
        for call, legs in arrivals.items():
            if call not in self.recorder.calls:
                continue
            for leg, last_ns in legs.items():
                self._look_at_leg(call, leg, last_ns, now)
            # A writer that took a call over gives its signalling a whole lease to come back.
            renewed = self.operations.leases.setdefault(call, monotonic())
            lapsed = monotonic() - renewed - self.lease
            silent = now - max(legs.values(), default=0) / 1e9
            if lapsed > 0 and min(silent, lapsed + self.lease) > self.orphan:
                with continued(self.recorder.calls[call].traceparent, call):
                    log.warning("signalling lost", call=call)
                    await self.operations.close(call, "signalling_lost")
        self._silent = {place for place in self._silent if place[0] in self.recorder.calls}

    def _look_at_leg(self, call: str, leg: str, last_ns: int, now: float) -> None:
        silent = now - last_ns / 1e9
        if not last_ns or silent < self.rtp_timeout:
            self._silent.discard((call, leg))
        elif (call, leg) not in self._silent:
            self._silent.add((call, leg))
            self.recorder.watchers.tell(call, News(leg, "rtp_timeout", seconds=int(silent)))
