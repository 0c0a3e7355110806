"""Errors that classify themselves: a closed reason for logs, metrics and the wire alike.

`onrecord.platform.grpc` maps each class to its gRPC status, in one table.
"""

from __future__ import annotations


class PlatformError(Exception):
    """A failure with a `reason` from a closed vocabulary and a sentence that says what to do."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class InvalidInput(PlatformError):
    """The request can never succeed as it is."""


class NotFound(PlatformError):
    """The thing named does not exist."""


class Denied(PlatformError):
    """The caller may not do this."""


class Refused(PlatformError):
    """The state of the system does not allow it now."""


class Overloaded(PlatformError):
    """A bounded queue is full: the caller should wait before it tries again."""


class Unavailable(PlatformError):
    """A dependency does not answer; the same request may succeed later."""


class Damaged(PlatformError):
    """Stored bytes are not what was stored."""
