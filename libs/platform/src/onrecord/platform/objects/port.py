"""What an object store must do for onrecord.

An object is written once and never changed. Keys are `/`-separated words.
"""

from __future__ import annotations

import re
from typing import Protocol

from onrecord.platform.errors import PlatformError

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*(/[A-Za-z0-9][A-Za-z0-9._=-]*)*")


class ObjectExists(PlatformError):
    """There is an object under this key already; whose, its SHA-256 tells."""


class ObjectStore(Protocol):
    """Where sealed units go. Every method raises Unavailable when the store does not answer."""

    async def put_new(self, key: str, body: bytes, sha256: str) -> None:
        """Create the object, durably, if there is none. Raises ObjectExists."""

    async def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Bytes [start, start + length), to the end without a length. Raises NotFound."""

    async def sha256(self, key: str) -> str | None:
        """The SHA-256 (hexadecimal) of the stored bytes; None where there is no object."""

    async def close(self) -> None:
        """Give connections back."""


def check_key(key: str) -> str:
    """The key itself. Raises ValueError for one that could leave the store's own name space."""
    if len(key) > 512 or not _KEY.fullmatch(key):
        raise ValueError(f"not an object key: {key!r}")
    return key
