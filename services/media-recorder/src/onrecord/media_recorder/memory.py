"""Keeping audio that may not be kept yet out of the swap: mlock(2) and mlockall(2)."""

from __future__ import annotations

import ctypes
import mmap
import re
import resource
from pathlib import Path
from typing import Final

_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
# Pages are locked when they are first touched, so that untouched reservations cost nothing.
_MCL_ONFAULT: Final = 4
# capabilities(7): its holder's locked memory has no limit.
_CAP_IPC_LOCK: Final = 14


def lock_mapping(mapping: mmap.mmap) -> bool:
    """Lock a mapping in memory; False if the limits of this process do not allow it."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = ctypes.c_char.from_buffer(mapping)
    return bool(
        libc.mlock(ctypes.c_void_p(ctypes.addressof(place)), ctypes.c_size_t(len(mapping))) == 0
    )


def lock_process() -> bool:
    """Lock all of this process's memory, present and future; False if that is not allowed.

    Nothing is locked under a limit that is not infinite: once it is reached, mlockall(2) lets every
    further allocation fail, and the process would die of it in mid-call.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard != resource.RLIM_INFINITY and not _may_lock_all():
        return False
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)


def _may_lock_all() -> bool:
    """Say whether this process holds CAP_IPC_LOCK (proc(5): the mask of effective capabilities)."""
    found = re.search(
        r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE
    )
    return found is not None and bool(int(found[1], 16) >> _CAP_IPC_LOCK & 1)
