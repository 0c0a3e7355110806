"""What can befall the processes of a stack: killed, stopped for a while, robbed of a folder."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from processes import until
from stack import RunningStack

BACK_SECONDS = 30.0


class Machine:
    """Does harm to a running stack, by the process names of its `endpoints.json`."""

    def __init__(self, stack: RunningStack) -> None:
        """Deaths are counted from what the supervisor has reported so far."""
        self.stack = stack
        self._killed: Counter[str] = Counter()
        self._up_before = self._came_up()

    def kill(self, *names: str) -> None:
        """Send SIGKILL; the supervisor starts each again by itself."""
        pids = self.stack.pids()
        for name in names:
            os.kill(pids[name], signal.SIGKILL)
            self._killed[name] += 1

    async def back(self) -> None:
        """Wait until everything that was killed is up again. Raises TimeoutError."""
        await until(lambda: self._came_up() >= self._up_before + self._killed, BACK_SECONDS)

    @contextlib.contextmanager
    def stopped(self, *names: str) -> Iterator[None]:
        """Stop processes by SIGSTOP while the context lasts; one that dies meanwhile stays dead."""
        pids = self.stack.pids()
        with contextlib.ExitStack() as held:
            for name in names:
                held.enter_context(_stopped(pids[name]))
            yield

    @contextlib.contextmanager
    def without_supervisor(self) -> Iterator[None]:
        """While the context lasts what dies stays dead."""
        with _stopped(self.stack.process.pid):
            yield

    @contextlib.contextmanager
    def without(self, folder: str) -> Iterator[None]:
        """Put a file in the place of a folder of the stack: nothing can be written there."""
        place = self.stack.data / folder
        place.mkdir(exist_ok=True)
        away = place.with_name(f"{folder}.away")
        place.rename(away)
        place.touch()
        try:
            yield
        finally:
            place.unlink()
            away.rename(place)

    def _came_up(self) -> Counter[str]:
        lines = (self.stack.data / "up.stderr").read_text(errors="replace").splitlines()
        return Counter(
            line.removesuffix(" is up again") for line in lines if line.endswith(" is up again")
        )


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    # By descriptor: another process may have the number by the time it is to go on.
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGSTOP)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGCONT)
        os.close(process)


def units_in_spool(spool: Path, call: str) -> dict[str, str]:
    """The units of a call that have audio in the spool: object key and state, open or sealed."""
    found = {}
    for path in sorted((spool / call).glob("*/*-*.*")):
        if path.suffix in (".open", ".sealed") and _has_frames(path):
            found[f"{call}/{path.parent.name}/{path.stem}"] = path.suffix[1:]
    return found


def _has_frames(path: Path) -> bool:
    """Whether an `.open` file is longer than its header (ORS1, length, JSON, CRC-32)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False
    return path.suffix == ".sealed" or len(data) > 12 + int.from_bytes(data[4:8], "big")
