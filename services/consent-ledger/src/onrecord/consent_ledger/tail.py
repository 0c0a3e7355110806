"""Following the log by index, from the store: what every reader inside the ledger stands on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from onrecord.consent_ledger.domain.entries import StoredEntry
from onrecord.consent_ledger.ports import EntryLog, StoreUnavailable
from onrecord.platform.telemetry import get_logger

log = get_logger()

PAGE = 100
GATHER_SECONDS = 0.02
"""What is committed within this time is read together: a read per commit would slow the commits."""


async def follow(
    entries: EntryLog, index: int, grown: asyncio.Event, poll: float
) -> AsyncGenerator[list[StoredEntry], None]:
    """Pages of the log from `index` on, for ever; an empty page when `poll` seconds brought none.

    `grown` is set by the appender of this process; another ledger's entries are found by the
    poll. Only indexes without a gap are given: a page read from a store that lags stops short.
    """
    while True:
        grown.clear()
        try:
            page = await entries.page(index, PAGE)
        except StoreUnavailable as error:
            log.warning("log unreadable", error=str(error))
            page = []
        whole = [entry for place, entry in enumerate(page, index) if entry.index == place]
        index += len(whole)
        yield whole
        if len(whole) < PAGE:
            try:
                await asyncio.wait_for(grown.wait(), poll)
                await asyncio.sleep(GATHER_SECONDS)
            except TimeoutError:
                continue
