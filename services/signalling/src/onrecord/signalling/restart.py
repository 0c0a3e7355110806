"""What a new process does with the calls of the one that died.

A call whose media passes the recorder has lost who conducts it: both parties are hung up, the
recorder is told, `call.ended` says `signalling_lost`. A call whose parties talk past us lost
nothing: its dialogs are taken on and it is relayed to its own end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
import grpc.aio
from onrecord.contracts.event import parse_time
from onrecord.platform.clock import monotonic, utc_now
from onrecord.platform.grpc import reason_of
from onrecord.platform.telemetry import get_logger, meter
from onrecord.signalling.adapters.recorders import Recorders
from onrecord.signalling.domain.kept import KeptCall
from onrecord.signalling.switchboard import Switchboard

log = get_logger()
left_over = meter().create_counter("onrecord_left_over_calls", description="by what became of them")

CLOSE_SECONDS = 30.0
"""How long a recorder is tried; by then the calls' leases have lapsed there."""
CLOSE_PAUSE = 0.5


class Restart:
    """Ends or goes on with every kept call, once."""

    def __init__(self, switchboard: Switchboard, recorders: Recorders) -> None:
        self._switchboard = switchboard
        self._recorders = recorders
        self._without_conductor: Sequence[KeptCall] = ()

    def begin(self, calls: Sequence[KeptCall]) -> None:
        """Hang up, take on, enter the facts; the SIP socket is open."""
        for call in calls:
            goes_on = call.can_go_on
            left_over.add(1, {"outcome": "goes_on" if goes_on else "ended"})
            log.warning("call left over", call=call.call_id, kind=call.kind, goes_on=goes_on)
            if goes_on:
                self._switchboard.take_on(call, _seconds_since(call.answered_at))
            else:
                self._switchboard.give_up(call, _seconds_since(call.answered_at))
        self._without_conductor = [c for c in calls if c.has_media and not c.is_over]

    async def close_media(self) -> None:
        """Tell the recorders that these calls are over; ends when they know, or gives up."""
        await asyncio.gather(*map(self._close, self._without_conductor))

    async def _close(self, call: KeptCall) -> None:
        give_up_at = monotonic() + CLOSE_SECONDS
        while True:
            try:
                await self._recorders.close(call.media_address, call.call_id)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return
                if monotonic() >= give_up_at:
                    log.warning("recorder not told", call=call.call_id, reason=reason_of(error))
                    return
            else:
                return
            await asyncio.sleep(CLOSE_PAUSE)


def _seconds_since(moment: str) -> float:
    """Seconds from an RFC 3339 moment until now; 0 for an empty one."""
    return (utc_now() - parse_time(moment)).total_seconds() if moment else 0.0
