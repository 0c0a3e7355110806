"""The two clocks: wall time labels, monotonic time measures."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The wall clock in UTC; a label only, because it may jump."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that never go back; for durations, deadlines and order."""
    return time.monotonic()
