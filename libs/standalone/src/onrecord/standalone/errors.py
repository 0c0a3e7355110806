"""What can go wrong in the `onrecord` command, with the exit code of each."""

from __future__ import annotations

from typing import ClassVar


class StandaloneError(Exception):
    """Base: the text says what happened and what to do about it."""

    exit_code: ClassVar[int] = 1
    reason: ClassVar[str] = "failed"


class FolderInUse(StandaloneError):
    """Another stack runs on this data folder."""

    exit_code = 4
    reason = "folder_in_use"


class StartFailed(StandaloneError):
    """A process did not come up; the text ends with the last lines of its log."""

    exit_code = 3
    reason = "start_failed"


class NotRunning(StandaloneError):
    """No stack runs on this data folder, or its door does not answer."""

    exit_code = 3
    reason = "not_running"


class BadRequest(StandaloneError):
    """What was asked for cannot be: a wrong option, an unknown call."""

    exit_code = 2
    reason = "bad_request"


class Refused(StandaloneError):
    """The service said no; the text is its reason."""

    exit_code = 1
    reason = "refused"
