"""One stack for all tests that do not stop or kill it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from stack import RunningStack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A running stack that many calls share, as it would be in use."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
        assert running.pids() == running.endpoints.pids, "a process died and was started again"


@pytest.fixture
def peer() -> object:
    """The path of a program that a test needs; the test fails where it is not installed."""

    def find(name: str) -> str:
        path = shutil.which(name)
        assert path is not None, f"{name} is not installed: run tools/peers as root"
        return path

    return find
