"""Keeping audio that may not be kept yet out of the swap: mlock(2) and mlockall(2)."""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
# Pages are locked when they are first touched, so that untouched reservations cost nothing.
_MCL_ONFAULT: Final = 4


def lock_mapping(mapping: mmap.mmap) -> bool:
    """Lock a mapping in memory; False if the limits of this process do not allow it."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = ctypes.c_char.from_buffer(mapping)
    return bool(
        libc.mlock(ctypes.c_void_p(ctypes.addressof(place)), ctypes.c_size_t(len(mapping))) == 0
    )


def lock_process() -> bool:
    """Lock all of this process's memory, present and future; False if that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)
