"""`python -m onrecord.media_recorder.mover`: the sockets mover, a sibling of the writer."""

from __future__ import annotations

import resource

from onrecord.media_recorder.mover.holding import Limits
from onrecord.media_recorder.mover.process import Mover
from onrecord.media_recorder.settings import MoverSettings
from onrecord.platform.settings import load


def main() -> None:
    """Read the settings and move packets until told to stop."""
    settings = load(MoverSettings)
    # A descriptor for each leg: the usual soft limit would end at five hundred calls.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Mover(
        settings.mover,
        settings.media_ip,
        settings.port_range,
        settings.ring_megabytes << 20,
        Limits(settings.hold_seconds, settings.notice_hold_seconds),
    ).run()


if __name__ == "__main__":
    main()
