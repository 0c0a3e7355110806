"""A call's log on a disk that is full."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from onrecord.media_recorder.adapters import call_log


def test_a_line_that_the_disk_took_only_in_part_is_an_error(tmp_path: Path) -> None:
    """Or a permit would have opened the gate of which the spool knows nothing."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            call_log.append(tmp_path / "log", [call_log.closed_line("call_ended")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
