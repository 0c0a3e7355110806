"""Starts one supervised process: `python -I -S launch.py PARENT PROGRAM ARGUMENT…`.

It asks the kernel to kill the process when its parent dies, however that happens (prctl(2),
PR_SET_PDEATHSIG), and then becomes the program. SIGKILL, because nobody is left to see a drain
through to its end: after a crash of the supervisor the parts rely on what makes a power cut
harmless, and the ports and files are free for the next start at once. What the process writes is
for its owner alone: audio, keys and people's numbers pass through every part.

This runs by its path and imports nothing of the project, so that it costs a few milliseconds and
no code runs between fork and exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the program in `arguments[1:]`, tied to the life of the process `arguments[0]`."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # It died before we asked: no signal will come.
            sys.exit(1)
    os.umask(0o077)
    os.execvp(program[0], program)  # noqa: S606 - the supervisor's own command line


if __name__ == "__main__":
    main(sys.argv[1:])
