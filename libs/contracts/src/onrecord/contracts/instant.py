"""Times as every event writes them: UTC, RFC 3339 §5.6, six fraction digits and `Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"
_FORM = re.compile(PATTERN)


def format_time(moment: datetime) -> str:
    """UTC in RFC 3339 with six fraction digits and `Z`, the one form in which times are kept."""
    # Not strftime: it writes the years before 1000 in another form, which `parse_time` refuses.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """The moment that `format_time` wrote. Raises ValueError on any other form."""
    if not _FORM.fullmatch(text):
        raise ValueError(f"{text!r} is not YYYY-MM-DDThh:mm:ss.ffffffZ")
    return datetime.fromisoformat(text)


def existing(text: str) -> str:
    """The text itself, if it names a time that exists. Raises ValueError."""
    parse_time(text)
    return text
