"""The mover's ports, on a real machine: what it runs out of refuses a call and ends none."""

from __future__ import annotations

import os
import resource
import select
from collections.abc import Iterator

import pytest
from onrecord.media_recorder.mover.call import MoverRefused
from onrecord.media_recorder.mover.sockets import LegSockets


@pytest.fixture
def no_descriptor_left() -> Iterator[None]:
    """No file or socket can be opened while the test lasts."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_leg_without_a_descriptor_is_refused(no_descriptor_left: None) -> None:
    """An error here would end the mover, and with it the audio of every call that it has."""
    with select.epoll() as epoll:
        legs = LegSockets("127.0.0.1", range(20000, 29999), epoll)
        kept = legs.bind(0)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The number that the listing itself had is the next one to be given.
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(highest, most), most))
        held = []
        with pytest.raises(MoverRefused, match="no_free_descriptor"):
            for flow in range(2, 2000, 2):
                held.append(legs.bind(flow))
        for flow in range(0, 2000, 2):
            legs.release(flow)
    assert kept % 2 == 0
