"""Identifiers that are unique without coordination and sort by time."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A UUID version 7 (RFC 9562) as 32 lower-case hexadecimal digits."""
    return uuid_utils.uuid7().hex
