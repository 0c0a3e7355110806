"""What must be said again and again while calls run: to their recorders, and to the ledger."""

from __future__ import annotations

import asyncio

import grpc.aio
from onrecord.platform.grpc import reason_of
from onrecord.platform.telemetry import get_logger
from onrecord.signalling.adapters.evidence import Permits
from onrecord.signalling.adapters.recorders import Recorders
from onrecord.signalling.switchboard import Switchboard

log = get_logger()


async def renew_leases(switchboard: Switchboard, recorders: Recorders, every: float) -> None:
    """Renew each call at its recorder every so many seconds, until cancelled."""
    while True:
        await asyncio.sleep(every)
        by_recorder = switchboard.by_recorder()
        await asyncio.gather(*(_renew(recorders, at, ids) for at, ids in by_recorder.items()))


async def keep_alive(switchboard: Switchboard, permits: Permits, worker: str, every: float) -> None:
    """Name all running calls to the ledger every so many seconds, until cancelled."""
    while True:
        await asyncio.sleep(every)
        try:
            await permits.keep_alive(worker, list(switchboard.calls))
        except grpc.aio.AioRpcError as error:
            log.warning("keep-alive failed", reason=reason_of(error))


async def _renew(recorders: Recorders, address: str, call_ids: list[str]) -> None:
    try:
        for call_id in await recorders.renew(address, call_ids):
            log.warning("recorder does not know call", call=call_id)
    except grpc.aio.AioRpcError as error:
        log.warning("renewal failed", calls=len(call_ids), reason=reason_of(error))
