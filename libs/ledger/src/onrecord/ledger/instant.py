"""Times as the ledger writes them: UTC, RFC 3339 §5.6, always six fraction digits and `Z`.

One spelling for one instant, because these texts stand inside signed and hashed bytes.
"""

import re
from datetime import UTC, datetime

from onrecord.ledger.errors import CanonicalError

_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def format_time(instant: datetime) -> str:
    """Spell an instant, e.g. `2026-03-01T09:30:00.000250Z`; a naive one raises `CanonicalError`."""
    if instant.tzinfo is None:
        raise CanonicalError("not_canonical", f"the time {instant.isoformat()} has no zone")
    # Not strftime: it writes the years before 1000 in another form, which `parse_time` refuses.
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    """Read what `format_time` wrote; any other spelling raises `CanonicalError`."""
    if not _PATTERN.fullmatch(text):
        raise CanonicalError("not_canonical", f"{text!r} is not YYYY-MM-DDThh:mm:ss.ffffffZ")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise CanonicalError("not_canonical", f"{text!r} is not a time that exists") from error
