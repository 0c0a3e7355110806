"""Enough unit keys in memory for every open gate, refilled from the ledger in the background."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Final

from onrecord.media_recorder.adapters.unit_keys import LOW, UnitKeys
from onrecord.media_recorder.domain.gate import OpenPermit, State
from onrecord.media_recorder.recording import CallRecording
from onrecord.platform.errors import Refused, Unavailable
from onrecord.platform.telemetry import continued, get_logger

log = get_logger()
LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 0.5
# Asked at once: a restarted recorder needs the keys of all its calls.
AT_ONCE: Final = 16


class KeySupply:
    """Looks after the keys of all calls in `calls`, which it does not change."""

    def __init__(self, keys: UnitKeys, calls: Mapping[str, CallRecording]) -> None:
        """Ask for keys through `keys`; `on_refused` is told of a call that will get none."""
        self._keys = keys
        self._calls = calls
        self._wanted = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        # Permits that get no more keys: asked again only when the last is used up.
        self._refused: set[str] = set()
        self.on_refused: Callable[[CallRecording, str], None] = lambda _call, _why: None

    async def run(self) -> None:
        """Refill until cancelled, at once when wanted."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), timeout=LOOK_SECONDS)
            self._wanted.clear()
            await self.refill()

    async def refill(self) -> None:
        """Ask once for every call that runs short, and tell those that are refused."""
        short = [
            (call, opened) for call in self._calls.values() if (opened := _short_of_keys(call))
        ]
        self._refused &= {opened.permit.permit_id for _, opened in short}
        async with asyncio.TaskGroup() as group:
            for call, opened in short:
                if opened.key_missing or opened.permit.permit_id not in self._refused:
                    group.create_task(self._refill(call, opened), name=f"keys {call.call}")

    def want(self) -> None:
        """Look for missing unit keys now."""
        self._wanted.set()

    def known(self, call: str, key_ref: str) -> bytes | None:
        """Give the key of this name if it is in memory."""
        found = self._calls.get(call)
        permit_id, _, number = key_ref.rpartition("/")
        if found is None or found.open_permit is None:
            return None
        if found.open_permit.permit.permit_id != permit_id:
            return None
        return found.open_permit.keys.get(int(number))

    async def _refill(self, call: CallRecording, opened: OpenPermit) -> None:
        try:
            async with self._places:
                with continued(call.traceparent, call.call):
                    opened.keys |= await self._keys.fetch(opened.signed, opened.next_key)
        except Unavailable as error:
            log.warning("unit keys missing", permit=opened.permit.permit_id, why=str(error))
            # A gate that waits for keys asks on every tick.
            await asyncio.sleep(RETRY_SECONDS)
        except Refused as error:
            log.error("unit keys refused", permit=opened.permit.permit_id, why=str(error))
            self._refused.add(opened.permit.permit_id)
            # While there are keys left, the recording goes on.
            if opened.key_missing and call.open_permit is opened:
                self.on_refused(call, str(error))


def _short_of_keys(call: CallRecording) -> OpenPermit | None:
    """Give the permit whose keys come to an end, if the call still needs any."""
    opened = call.open_permit
    if opened is None or (call.gate.state is State.ENDED and not call.unwritten):
        return None
    left = sum(number >= opened.next_key for number in opened.keys)
    return opened if left < LOW else None
