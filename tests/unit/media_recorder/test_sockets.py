"""The mover's ports, on a real machine: what it runs out of refuses a call and ends none."""

from __future__ import annotations

import contextlib
import resource
import select
from collections.abc import Iterator

import pytest
from onrecord.media_recorder.mover.call import MoverRefused
from onrecord.media_recorder.mover.sockets import LegSockets


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """No file or socket can be opened while the context lasts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_leg_without_a_descriptor_is_refused() -> None:
    """An error here would end the mover, and with it the audio of every call that it has."""
    with select.epoll() as epoll:
        legs = LegSockets("127.0.0.1", range(20000, 29999), epoll)
        with no_descriptor_left(), pytest.raises(MoverRefused, match="no_free_descriptor"):
            legs.bind(0)
