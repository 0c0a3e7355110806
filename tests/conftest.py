"""What holds for every test: a category by its folder, no process left behind, seeds printed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

CATEGORIES = ("unit", "integration", "e2e")
LEAK_SECONDS = 5.0
_PR_SET_CHILD_SUBREAPER = 36
_TESTS = Path(__file__).parent

settings.register_profile("onrecord", deadline=None, print_blob=True)
settings.load_profile("onrecord")


def pytest_configure() -> None:
    """Adopt orphans, so that a grandchild whose parent was killed is still seen as left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test with the folder it stands in; a test elsewhere has no category: an error."""
    for item in items:
        category = item.path.relative_to(_TESTS).parts[0]
        if category not in CATEGORIES:
            raise pytest.UsageError(f"{item.path}: put it below tests/{'|'.join(CATEGORIES)}")
        item.add_marker(category)


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """Fail the test that leaves a process behind.

    Processes of fixtures that outlive the test, and what these start again, do not count.
    """
    before = set(descendants())
    yield
    deadline = time.monotonic() + LEAK_SECONDS
    while (left := _leaked(before)) and time.monotonic() < deadline:
        time.sleep(0.05)  # Ending takes the kernel a moment; there is no event to wait for.
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"processes left behind: {left}"


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


def _below(pid: int, ancestor: int, parents: dict[int, tuple[int, str]]) -> bool:
    while pid in parents:
        pid = parents[pid][0]
        if pid == ancestor:
            return True
    return False


def _leaked(before: set[int]) -> dict[int, str]:
    now = descendants()
    return {
        pid: command
        for pid, (_, command) in now.items()
        if pid not in before and not any(_below(pid, old, now) for old in before)
    }
