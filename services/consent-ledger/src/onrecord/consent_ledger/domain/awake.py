"""A clock of silence: it counts only the time in which this process was there to listen."""

from __future__ import annotations


class AwakeClock:
    """Seconds for which the process ran, by readings of a monotonic clock.

    A process that is stopped, or starved, hears nobody; what was said meanwhile waits to be read.
    Between two readings at most `longest` seconds are counted, so that nobody is silent for a time
    in which nobody listened.
    """

    def __init__(self, longest: float) -> None:
        """Read it more often than every `longest` seconds, or it goes slow."""
        self._longest = longest
        self._last: float | None = None
        self._counted = 0.0

    def read(self, now: float) -> float:
        """The seconds counted up to `now`; they never fall."""
        if self._last is not None:
            self._counted += min(max(now - self._last, 0.0), self._longest)
        self._last = now
        return self._counted
