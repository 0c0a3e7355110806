"""Whether the index can be reached: asked in the background, told to `/readyz`."""

from __future__ import annotations

import asyncio
from typing import Protocol

from onrecord.platform.errors import Unavailable
from onrecord.platform.telemetry import get_logger

log = get_logger()

ASK_SECONDS = 2.0


class Server(Protocol):
    """What is asked. Both raise Unavailable when there is no answer."""

    async def prepare(self) -> None:
        """Create the indexes that searches use."""

    async def ping(self) -> None:
        """Return when the server answers."""


class IndexHealth:
    """Keeps the answer to the last question."""

    def __init__(self, index: Server) -> None:
        self._index = index
        self._reasons = ["mongo has not answered yet"]

    def reasons(self) -> list[str]:
        """Why the service is not ready; empty when it is."""
        return self._reasons

    async def watch(self) -> None:
        """Create the indexes once the server is there, and ask it every 2 s until cancelled."""
        ask = self._index.prepare
        while True:
            try:
                await ask()
            except Unavailable as error:
                if not self._reasons:
                    log.warning("mongo does not answer", error=str(error))
                self._reasons = ["mongo does not answer"]
            else:
                ask, self._reasons = self._index.ping, []
            await asyncio.sleep(ASK_SECONDS)
