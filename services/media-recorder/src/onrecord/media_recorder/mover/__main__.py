"""`python -m onrecord.media_recorder.mover`: the sockets mover, a sibling of the writer."""

from __future__ import annotations

from onrecord.media_recorder.mover.holding import Limits
from onrecord.media_recorder.mover.process import Mover
from onrecord.media_recorder.settings import MoverSettings
from onrecord.platform.settings import load


def main() -> None:
    """Read the settings and move packets until told to stop."""
    settings = load(MoverSettings)
    Mover(
        settings.mover,
        settings.media_ip,
        settings.port_range,
        settings.ring_megabytes << 20,
        Limits(settings.hold_seconds, settings.notice_hold_seconds),
    ).run()


if __name__ == "__main__":
    main()
