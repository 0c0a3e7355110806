"""RFC 4028: a session that nobody refreshes in time is over; either side may be the refresher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onrecord.sip.headers import Headers, split_parameters
from onrecord.sip.message import Request, Response

OPTION_TAG = "timer"
LAST_SECONDS = 32.0
"""How long before the end, at most, the session is given up (§10): the BYE must still arrive."""


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """Seconds: how long a session may go without a refresh, and the least that we accept."""

    expires: int = 1800
    shortest: int = 90

    def is_too_short(self, request: Request) -> bool:
        """§5: whether a request asks for less than we accept, and would understand 422."""
        asked = _asked(request.headers)
        return asked is not None and asked[0] < self.shortest and _knows_timers(request)


class SessionTimer:
    """The refreshes of one leg's session; `refresh` is ours to send, `expire` ends the session."""

    __slots__ = (
        "_expire",
        "_expire_at",
        "_is_ours",
        "_policy",
        "_refresh",
        "_refresh_at",
        "_seconds",
        "armed_for",
    )

    def __init__(
        self,
        policy: SessionPolicy,
        refresh: Callable[[float], None],
        expire: Callable[[float], None],
    ) -> None:
        self.armed_for: float | None = None
        self._policy = policy
        self._refresh = refresh
        self._expire = expire
        self._seconds = policy.expires
        self._is_ours: bool | None = None
        self._refresh_at: float | None = None
        self._expire_at: float | None = None

    @property
    def next_timer(self) -> float | None:
        """When `handle_timer` is due."""
        return self._refresh_at if self._refresh_at is not None else self._expire_at

    def fields(self) -> Headers:
        """What an INVITE or UPDATE of ours asks for; who refreshes stays who it was (§7.4)."""
        refresher = {None: "", True: ";refresher=uac", False: ";refresher=uas"}[self._is_ours]
        return Headers([
            ("Session-Expires", f"{self._seconds}{refresher}"),
            ("Min-SE", str(self._policy.shortest)),
        ])  # fmt: skip

    def accept(self, request: Request, now: float) -> Headers:
        """Begin anew with what a request asks for (§9); return what our 2xx says about it."""
        asked, knows = _asked(request.headers), _knows_timers(request)
        if asked is None and not knows:
            self.stop()
            return Headers()
        seconds, refresher = asked or (self._policy.expires, "")
        shortest = max(self._policy.shortest, _number(request.headers.get("Min-SE")) or 0)
        seconds = max(min(seconds, self._policy.expires), shortest)
        if not knows:
            refresher = "uas"
        refresher = refresher or "uac"
        self._begin(seconds, now, is_ours=refresher == "uas")
        said = Headers([("Session-Expires", f"{seconds};refresher={refresher}")])
        if refresher == "uac":
            said.add("Require", OPTION_TAG)
        return said

    def take(self, response: Response, now: float) -> None:
        """Begin anew with what the 2xx to ours says (§7.2); without a word there is no timer."""
        agreed = _asked(response.headers)
        if agreed is None:
            self.stop()
        else:
            self._begin(agreed[0], now, is_ours=agreed[1] != "uas")

    def lengthen(self, response: Response) -> bool:
        """Take the Min-SE of a 422 for the next try (§7.3); False where it gives no reason to."""
        shortest = _number(response.headers.get("Min-SE"))
        if shortest is None or shortest <= self._seconds:
            return False
        self._seconds = shortest
        return True

    def postpone(self, seconds: float, now: float) -> None:
        """Refresh so much later: another offer is under way (§7.4 of RFC 4028, §14.1 of 3261)."""
        if self._expire_at is not None:
            self._refresh_at = min(now + seconds, self._expire_at)

    def stop(self) -> None:
        """The session is over, or goes on without a timer."""
        self._refresh_at = self._expire_at = self._is_ours = None

    def handle_timer(self, now: float) -> None:
        """Send a refresh, or end what was not refreshed."""
        if self._expire_at is not None and now >= self._expire_at:
            self.stop()
            self._expire(now)
        elif self._refresh_at is not None:
            self._refresh_at = None
            self._refresh(now)

    def _begin(self, seconds: int, now: float, *, is_ours: bool) -> None:
        self._seconds, self._is_ours = seconds, is_ours
        self._expire_at = now + seconds - min(LAST_SECONDS, seconds / 3)
        self._refresh_at = now + seconds / 2 if is_ours else None


def _knows_timers(request: Request) -> bool:
    tags = (*request.headers.values("Supported"), *request.headers.values("Require"))
    return OPTION_TAG in (tag.lower() for tag in tags)


def _asked(headers: Headers) -> tuple[int, str] | None:
    """Read Session-Expires: its seconds, and `uac`, `uas` or nothing."""
    value, parameters = split_parameters(headers.get("Session-Expires") or "")
    seconds = _number(value)
    refresher = (parameters.get("refresher") or "").lower()
    if seconds is None:
        return None
    return seconds, refresher if refresher in ("uac", "uas") else ""


def _number(text: str | None) -> int | None:
    """Read delta-seconds, without a parameter behind them; None for anything else."""
    digits = (text or "").partition(";")[0].strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 9 else None
