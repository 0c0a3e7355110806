"""Where each call stands, as signalling's log tells it: which step to strike at."""

from __future__ import annotations

import json
from pathlib import Path

from processes import until


class Diary:
    """Reads the log as it grows, over restarts; lines from before it was opened do not count."""

    def __init__(self, log: Path) -> None:
        self.routed: list[str] = []
        self.phases: dict[str, str] = {}
        self._log = log
        self._offset = log.stat().st_size

    async def nth_routed(self, number: int, timeout: float) -> str:
        """The id of the call that was routed as number so many, from 0. Raises TimeoutError."""
        await until(lambda: self._read() and len(self.routed) > number, timeout)
        return self.routed[number]

    async def reached(self, call: str, phases: set[str], timeout: float) -> str:
        """Wait until the call is in one of these phases. Raises TimeoutError."""
        await until(lambda: self._read() and self.phases.get(call) in phases, timeout)
        return self.phases[call]

    def phase(self, call: str) -> str:
        """Where the call stands now; empty for one that is not known."""
        self._read()
        return self.phases.get(call, "")

    def _read(self) -> bool:
        with self._log.open("rb") as log:
            log.seek(self._offset)
            text = log.read()
        whole, newline, _ = text.rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        for line in whole.splitlines():
            if line.startswith(b"{"):
                self._take(json.loads(line))
        return True

    def _take(self, line: dict[str, str]) -> None:
        if line.get("event") == "call routed":
            self.routed.append(line["call"])
            self.phases[line["call"]] = "OPENING"
        elif line.get("event") == "call moved":
            self.phases[line["call"]] = line["phase"]
