"""What crosses the B2BUA: one table. Every header that is not named here ends at us.

Via, Route, Record-Route, Contact and Call-ID are each side's own, so neither learns how the other
is reached; what is negotiated (Supported, Require, Session-Expires) is agreed on each side apart.
"""

from __future__ import annotations

from onrecord.sip.headers import Headers

Fields = tuple[tuple[str, str], ...]

_WHO = ("P-Asserted-Identity", "Privacy", "User-to-User")
_CONTENT = ("Content-Type", "Content-Disposition", "Content-Language")
_CROSSES: dict[str, tuple[str, ...]] = {
    # a new call: who calls, why it came here, and where from in an emergency (RFC 6442)
    "INVITE": (
        *_WHO, "Diversion", "History-Info", "Priority", "Subject", "Accept-Language", "Reply-To",
        "Geolocation", "Geolocation-Routing",
    ),
    "18x": (*_WHO, "P-Early-Media", "Alert-Info", "Reason"),
    "200": _WHO,
    "refusal": ("Reason", "Warning", "Retry-After"),
    "BYE": ("Reason", "User-to-User"),
    "INFO": ("Info-Package", *_CONTENT),
    "MESSAGE": _CONTENT,
    "reply": _CONTENT,
}  # fmt: skip

RELAYED = frozenset({"INFO", "MESSAGE"})
"""Requests inside the call that go to the other side as they are."""


def crossing(kind: str, headers: Headers) -> Fields:
    """Return the fields of a message of this kind that the other side gets, in our order."""
    return tuple((name, value) for name in _CROSSES[kind] for value in headers.fields(name))
