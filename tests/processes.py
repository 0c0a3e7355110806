"""Which processes live below the tests, and how to wait for what happens in another process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

_POLL_SECONDS = 0.05


async def until(condition: Callable[[], Awaitable[bool] | bool], timeout: float) -> None:
    """Wait for something that only asking again can tell. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while True:
            holds = condition()
            if (await holds) if not isinstance(holds, bool) else holds:
                return
            await asyncio.sleep(_POLL_SECONDS)


def descendants() -> dict[int, tuple[int, str]]:
    """Every living process below this one: its parent's number and its command line.

    Zombies are left out: an orphan may stay one until somebody waits for it.
    """
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, UnicodeDecodeError):
                continue
            if state != "Z":
                parents[int(folder.name)] = (int(parent), command)
    return {pid: found for pid, found in parents.items() if _below(pid, os.getpid(), parents)}


def started_since(before: set[int]) -> dict[int, str]:
    """Living processes that are neither in `before` nor below one that is, by command line."""
    now = descendants()
    return {
        pid: command
        for pid, (_, command) in now.items()
        if pid not in before and not any(_below(pid, old, now) for old in before)
    }


def _below(pid: int, ancestor: int, parents: dict[int, tuple[int, str]]) -> bool:
    while pid in parents:
        pid = parents[pid][0]
        if pid == ancestor:
            return True
    return False
