"""RFC 3261 §19.1 SIP URIs and RFC 3966 telephone numbers, as far as call routing needs them.

Left out on purpose: URI comparison (§19.1.4) and the headers part (`?`), which is kept as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from onrecord.sip.errors import SipError

DEFAULT_PORT = 5060
DEFAULT_TLS_PORT = 5061
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*\Z")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)\Z")
SOS = "urn:service:sos"
"""RFC 5031 §4.2: whatever takes an emergency call; what follows a dot names a service of it."""
_VISUAL_SEPARATORS = str.maketrans("", "", "-.() ")


def parse_port(text: str) -> int:
    """Return the port that `text` names; raise `SipError` unless it is 1 to 65535.

    The range matters: a larger number would make the socket's own send call fail.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise SipError("bad_port", "a port must be a number from 1 to 65535")
    return int(text)


def bracketed(host: str) -> str:
    """Return the host as URIs and Via have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def split_host_port(text: str) -> tuple[str, int | None]:
    """Split `host[:port]`, brackets of an IPv6 address kept; raise `SipError` if it is neither."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        host, port_text = host + bracket, rest.removeprefix(":") if rest.startswith(":") else rest
        if rest and not rest.startswith(":"):
            raise SipError("bad_host", "text after the bracket of an IPv6 address")
    else:
        host, _, port_text = text.partition(":")
        rest = text[len(host) :]
    if not _HOST.match(host):
        raise SipError("bad_host", "a host must be a name, an IPv4 or a bracketed IPv6 address")
    return host, parse_port(port_text) if rest else None


@dataclass(frozen=True, slots=True)
class SipUri:
    """A `sip:`, `sips:` or `tel:` URI; other schemes keep their text in `user` and have no host."""

    host: str
    user: str = ""
    port: int | None = None
    parameters: tuple[tuple[str, str | None], ...] = ()
    scheme: str = "sip"
    headers: str = ""

    @classmethod
    def parse(cls, text: str) -> SipUri:
        """Read one URI without angle brackets; raise `SipError` if it is not one."""
        scheme, colon, rest = text.partition(":")
        known = scheme in ("sip", "sips", "tel")
        if not colon or not rest or " " in rest or not (known or _SCHEME.match(scheme)):
            raise SipError("bad_uri", "a URI must be a scheme, a colon and no blanks")
        scheme = scheme.lower()
        if scheme not in ("sip", "sips"):
            number, _, tail = rest.partition(";")
            return cls("", user=number, parameters=_parameters(tail), scheme=scheme)
        user, at, host_part = rest.rpartition("@")  # the user may hold `?` and `;` (§25.1)
        if at and not user:
            raise SipError("bad_uri", "an empty user before the @")
        host_part, _, headers = host_part.partition("?")
        host_port, _, tail = host_part.partition(";")
        host, port = split_host_port(host_port)
        return cls(host, user, port, _parameters(tail), scheme, headers)

    @property
    def number(self) -> str:
        """The dialled number or user: unescaped, without user parameters and visual separators.

        `SOS` for every emergency service. A number ends at a semicolon that was escaped, too.
        """
        if self.is_emergency_service:
            return SOS
        text = unquote(self.user.partition(";")[0].partition(":")[0], errors="replace")
        stripped = text.partition(";")[0].translate(_VISUAL_SEPARATORS)
        digits = stripped.removeprefix("+")
        return stripped if digits.isascii() and digits.isdigit() else text

    @property
    def is_emergency_service(self) -> bool:
        """Whether this is `urn:service:sos` or one below it, in any case (RFC 5031 §4.1)."""
        text = f"{self.scheme}:{self.user}".lower()
        return text == SOS or text.startswith(f"{SOS}.")

    @property
    def is_loose_router(self) -> bool:
        """Whether the `lr` parameter is there (RFC 3261 §16.12)."""
        return any(name == "lr" for name, _ in self.parameters)

    def with_user(self, user: str) -> SipUri:
        """Return the same URI for another user part (as it stands on the wire, escaped)."""
        return replace(self, user=user)

    def __str__(self) -> str:
        if self.scheme not in ("sip", "sips"):
            return f"{self.scheme}:{self.user}{_join(self.parameters)}"
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{self.host}{port}{_join(self.parameters)}{headers}"


def _parameters(text: str) -> tuple[tuple[str, str | None], ...]:
    if not text:
        return ()
    pairs: list[tuple[str, str | None]] = []
    for part in text.split(";"):
        if part:
            name, equals, value = part.partition("=")
            pairs.append((name.lower(), value if equals else None))
    return tuple(pairs)


def _join(parameters: tuple[tuple[str, str | None], ...]) -> str:
    if not parameters:
        return ""
    return "".join(f";{n}" if v is None else f";{n}={v}" for n, v in parameters)
