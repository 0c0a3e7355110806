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
from processes import descendants, started_since

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
    while (left := started_since(before)) and time.monotonic() < deadline:
        time.sleep(0.05)  # Ending takes the kernel a moment; there is no event to wait for.
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"processes left behind: {left}"
