"""Enough unit keys in memory for every open gate, refilled from the ledger in the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

from onrecord.media_recorder.adapters.unit_keys import LOW, UnitKeys
from onrecord.media_recorder.domain.gate import State
from onrecord.media_recorder.recording import CallRecording, OpenPermit
from onrecord.platform.errors import Unavailable
from onrecord.platform.telemetry import continued, get_logger

log = get_logger()
LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 0.5


class KeySupply:
    """Looks after the keys of all calls in `calls`, which it does not change."""

    def __init__(self, keys: UnitKeys, calls: Mapping[str, CallRecording]) -> None:
        """Ask for keys through `keys`."""
        self._keys = keys
        self._calls = calls
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Refill until cancelled, at once when wanted."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), timeout=LOOK_SECONDS)
            self._wanted.clear()
            for call in list(self._calls.values()):
                opened = call.open_permit
                if opened is None or (call.gate.state is State.ENDED and not call.unwritten):
                    continue
                if sum(number >= opened.next_key for number in opened.keys) < LOW:
                    with continued(call.traceparent, call.call):
                        await self.fetch(opened)

    def want(self) -> None:
        """Look for missing unit keys now."""
        self._wanted.set()

    async def fetch(self, opened: OpenPermit) -> None:
        """Ask for a permit's next keys; a ledger that is down is asked again later."""
        try:
            opened.keys |= await self._keys.fetch(opened.signed, opened.next_key)
        except Unavailable as error:
            log.warning("unit keys missing", permit=opened.permit.permit_id, why=str(error))
            # A gate that waits for keys asks on every tick.
            await asyncio.sleep(RETRY_SECONDS)

    def known(self, call: str, key_ref: str) -> bytes | None:
        """Give the key of this name if it is in memory."""
        found = self._calls.get(call)
        permit_id, _, number = key_ref.rpartition("/")
        if found is None or found.open_permit is None:
            return None
        if found.open_permit.permit.permit_id != permit_id:
            return None
        return found.open_permit.keys.get(int(number))
