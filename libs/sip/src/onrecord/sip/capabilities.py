"""What this user agent can do: said in Allow, Supported and Accept, and asked of each request.

RFC 3261 §8.2 and §20.5; RFC 6665 §8.2.1 for events. Stated once, so that what we say is what we do.
"""

from __future__ import annotations

from dataclasses import dataclass

from onrecord.sip.headers import Headers
from onrecord.sip.message import Request
from onrecord.sip.session_timer import SessionPolicy

SDP_TYPE = "application/sdp"
ASKED = ("INFO", "MESSAGE", "NOTIFY", "REFER")
"""Methods that only the owner can answer; they are taken inside a dialog."""
OUTSIDE_DIALOG = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS")
INSIDE_DIALOG = (*OUTSIDE_DIALOG, "PRACK", "UPDATE", *ASKED)
ABOUT_DIALOG = ("BYE", "PRACK", "UPDATE", "INFO", "NOTIFY")
"""Methods that mean nothing without the dialog that they are about."""
ALLOW = ", ".join(INSIDE_DIALOG)
EVENTS = ("refer",)
EXTENSIONS = frozenset({"100rel", "timer"})
"""What we take care of ourselves (RFC 3262, RFC 4028)."""

_USUAL_SESSION = SessionPolicy()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What our owner adds to us.

    `extensions` are option tags in lower case beside ours; `accepts` the media types of offers.
    `session` is how long a session goes without a refresh.
    """

    extensions: frozenset[str] = frozenset()
    accepts: tuple[str, ...] = (SDP_TYPE,)
    session: SessionPolicy = _USUAL_SESSION

    def describe(self, headers: Headers) -> None:
        """Say in a response what we take (§20.1, §20.5, §20.37)."""
        headers.set("Allow", ALLOW)
        headers.set("Accept", ", ".join(self.accepts))
        headers.set("Supported", self.supported())

    def supported(self, *, without: str = "") -> str:
        """Return the option tags for Supported, all but one."""
        return ", ".join(sorted((self.extensions | EXTENSIONS) - {without}))

    def refusal(self, request: Request) -> tuple[int, Headers] | None:
        """§8.2.1 to §8.2.3: the answer to what we do not know, naming what we do; None to go on.

        The type of a new call's body is for the owner to judge: an emergency call comes with any.
        """
        method, is_inside = request.method, bool(request.to.tag)
        if not is_inside and method in ABOUT_DIALOG:
            return 481, Headers()
        known = INSIDE_DIALOG if is_inside else OUTSIDE_DIALOG
        if method not in known:
            return 405, Headers([("Allow", ", ".join(known))])
        required = request.headers.values("Require")
        unknown = [tag for tag in required if tag.lower() not in self.extensions | EXTENSIONS]
        if unknown:
            return 420, Headers([("Unsupported", ", ".join(unknown))])
        if method in ("INVITE", "UPDATE") and self.session.is_too_short(request):
            return 422, Headers([("Min-SE", str(self.session.shortest))])
        makes_offer = is_inside and method in ("INVITE", "UPDATE") and bool(request.body)
        if makes_offer and request.content_type not in self.accepts:
            return 415, Headers([("Accept", ", ".join(self.accepts))])
        if method == "NOTIFY" and request.event_package not in EVENTS:
            return 489, Headers([("Allow-Events", ", ".join(EVENTS))])
        return None
