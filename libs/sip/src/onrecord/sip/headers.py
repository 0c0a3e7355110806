"""RFC 3261 §20 header fields: an ordered multi-map, and the values whose grammar routing needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from onrecord.sip.errors import SipError
from onrecord.sip.hop import Hop, default_port
from onrecord.sip.uri import DEFAULT_PORT, SipUri, bracketed, split_host_port

MAX_CSEQ = 2**31
BRANCH_COOKIE = "z9hG4bK"

_KNOWN = (
    "Accept", "Allow", "Authorization", "Call-ID", "Contact", "Content-Disposition",
    "Content-Encoding", "Content-Length", "Content-Type", "CSeq", "Date", "Event", "Expires",
    "From", "Max-Forwards", "MIME-Version", "Min-SE", "P-Asserted-Identity", "Privacy",
    "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Require", "RAck", "Reason",
    "Record-Route", "Refer-To", "Referred-By", "Replaces", "Require", "Retry-After", "Route",
    "RSeq", "Server", "Session-Expires", "Subject", "Supported", "Timestamp", "To",
    "Unsupported", "User-Agent", "User-to-User", "Via", "Warning", "WWW-Authenticate",
)  # fmt: skip
_COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "e": "Content-Encoding",
    "f": "From", "i": "Call-ID", "k": "Supported", "l": "Content-Length", "m": "Contact",
    "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via",
    "x": "Session-Expires",
}  # fmt: skip
# Under their own spelling too: nearly every header comes in it, and is then found by one look-up.
_CANONICAL = {name.lower(): name for name in _KNOWN} | _COMPACT | {name: name for name in _KNOWN}
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")


def canonical(name: str) -> str:
    """Return the one spelling under which a header is kept; raise `SipError` for a non-token."""
    known = _CANONICAL.get(name)
    if known is not None:
        return known
    lower = name.lower()
    known = _CANONICAL.get(lower)
    if known is not None:
        return known
    if not _TOKEN.match(name):
        raise SipError("bad_header", "a header's name must be a token")
    return "-".join(part.capitalize() for part in lower.split("-"))


def is_token(text: str) -> bool:
    """Whether `text` is a `token` of RFC 3261 §25.1: methods, header names, tags."""
    return bool(_TOKEN.match(text))


def split_top_level(text: str, separator: str) -> list[str]:
    """Split at `separator` outside quoted strings and angle brackets; parts come back stripped."""
    if '"' not in text and "<" not in text:
        return [part.strip() for part in text.split(separator)]
    parts, start, quoted, depth, escaped = [], 0, False, 0, False
    for position, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char == "<":
            depth += 1
        elif char == ">":
            depth = max(0, depth - 1)
        elif char == separator and not depth:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    return parts


def split_parameters(text: str) -> tuple[str, dict[str, str | None]]:
    """Split `value;name=x;flag`; names in lower case, a flag's value None, the first one wins."""
    first, *rest = split_top_level(text, ";")
    parameters: dict[str, str | None] = {}
    for part in rest:
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if name and name not in parameters:
            parameters[name] = value.strip() if equals else None
    return first, parameters


class Headers:
    """Header fields in the order in which they stand in the message, repeats kept."""

    __slots__ = ("_items",)

    def __init__(self, items: list[tuple[str, str]] | None = None) -> None:
        self._items = items if items is not None else []

    def add(self, name: str, value: str) -> None:
        """Append a field; a line break in the value is refused, as it would start another field."""
        if "\r" in value or "\n" in value:
            raise SipError("bad_header", "a line break in a header's value", status=None)
        self._items.append((canonical(name), value))

    def set(self, name: str, value: str) -> None:
        """Replace every field of this name by one, at the place of the first."""
        name = canonical(name)
        index = next((i for i, item in enumerate(self._items) if item[0] == name), None)
        if index is None:
            self.add(name, value)
            return
        rest = [item for item in self._items[index + 1 :] if item[0] != name]
        self._items[index:] = [(name, value), *rest]

    def override(self, fields: Iterable[tuple[str, str]]) -> None:
        """Take these fields in place of every one of the same names; order and repeats are kept."""
        added = Headers()
        for name, value in fields:
            added.add(name, value)
        names = {name for name, _ in added}
        self._items = [item for item in self._items if item[0] not in names] + added._items

    def get(self, name: str) -> str | None:
        """Return the first field's whole value, or None."""
        for key, value in self._items:
            if key == name:
                return value
        return None

    def fields(self, name: str) -> list[str]:
        """Return every field of this name as it stands, not split at commas."""
        return [value for key, value in self._items if key == name]

    def values(self, name: str) -> list[str]:
        """Return every value of a list-valued header, split at top-level commas."""
        found: list[str] = []
        for key, value in self._items:
            if key == name:
                # Without a comma there is nothing to split: true of nearly all.
                parts = split_top_level(value, ",") if "," in value else (value,)
                found += [part for part in parts if part]
        return found

    def replace_first_value(self, name: str, value: str) -> None:
        """Replace the first value of a list-valued header, keeping what follows it."""
        values = self.values(name)
        self._items = [item for item in self._items if item[0] != name]
        self._items[0:0] = [(name, v) for v in [value, *values[1:]]]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


@dataclass(frozen=True, slots=True)
class Address:
    """A `From`, `To`, `Contact` or `Route` value: display name, URI, parameters (§20.10)."""

    uri: SipUri
    display: str = ""
    parameters: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read one name-addr or addr-spec; quotes are honoured, so a name cannot pose as a URI."""
        display, uri_text, parameters = _split_address(text.strip())
        return cls(SipUri.parse(uri_text.strip()), display, tuple(parameters.items()))

    @property
    def tag(self) -> str:
        """The tag, empty where there is none."""
        for name, value in self.parameters:
            if name == "tag":
                return value or ""
        return ""

    def with_tag(self, tag: str) -> Address:
        """Return the same address with this tag and no other parameter; empty takes it away."""
        return Address(self.uri, self.display, (("tag", tag),) if tag else ())

    def __str__(self) -> str:
        quoted = self.display.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{quoted}" ' if self.display else ""
        tail = "".join(f";{n}" if v is None else f";{n}={v}" for n, v in self.parameters)
        return f"{name}<{self.uri}>{tail}"


def _split_address(text: str) -> tuple[str, str, dict[str, str | None]]:
    """Return display name, URI and parameters of any address."""
    display = ""
    if text.startswith('"'):
        display, text = _quoted(text)
    if "<" not in text:
        if display:
            raise SipError("bad_address", "a display name needs a URI in angle brackets")
        return "", *split_parameters(text)
    name, _, rest = text.partition("<")
    uri_text, bracket, tail = rest.partition(">")
    tail = tail.strip()
    if not bracket or (tail and not tail.startswith(";")) or (display and name.strip()):
        raise SipError("bad_address", "an address must be [name] <uri> and parameters")
    return display or name.strip(), uri_text, split_parameters(tail)[1]


def _quoted(text: str) -> tuple[str, str]:
    """Split a leading quoted string from what follows it, escapes taken away."""
    characters: list[str] = []
    escaped = False
    for position, char in enumerate(text[1:], start=1):
        if escaped:
            characters.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            return "".join(characters), text[position + 1 :]
        else:
            characters.append(char)
    raise SipError("bad_address", "a quoted name that never ends")


@dataclass(frozen=True, slots=True)
class Via:
    """One `Via` value (§20.42) with RFC 3581's `rport`."""

    transport: str
    host: str
    port: int | None
    branch: str
    parameters: tuple[tuple[str, str | None], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read one Via value; raise `SipError` if a response could not be sent by it."""
        head, parameters = split_parameters(text)
        if len(head.split()) > 2:  # white space around slashes and colon, legal and rare
            head = re.sub(r"\s*([/:])\s*", r"\1", head)
        protocol, _, sent_by = head.partition(" ")
        parts = protocol.split("/")
        is_sip = len(parts) == 3 and parts[0].upper() == "SIP" and parts[1] == "2.0"
        if not is_sip or not is_token(parts[2]):
            raise SipError("bad_via", "a Via must begin with SIP/2.0/ and a transport")
        host, port = split_host_port(sent_by.strip())
        branch = parameters.pop("branch", None) or ""
        return cls(parts[2].upper(), host, port, branch, tuple(parameters.items()))

    @property
    def sent_by(self) -> str:
        """Host and port as part of the transaction's key, in lower case."""
        return f"{self.host.lower()}:{self.port or DEFAULT_PORT}"

    def received_from(self, source: Hop) -> Via:
        """Return this Via as a server stamps it: `received` always, `rport` where asked for."""
        kept = [p for p in self.parameters if p[0] not in ("received", "rport")]
        if any(name == "rport" for name, _ in self.parameters):
            kept.append(("rport", str(source.port)))
        kept.append(("received", source.host))
        return Via(self.transport, self.host, self.port, self.branch, tuple(kept))

    def response_hop(self, source: Hop) -> Hop:
        """Where a response goes (§18.2.2, RFC 3581 §4); never to a host that is not the source.

        A datagram's port is the source's only with `rport`. A stream's is the one to connect to
        when the stream that the request came on is gone, so it is always the one named here.
        """
        if not source.is_reliable and any(name == "rport" for name, _ in self.parameters):
            return source
        return replace(source, port=self.port or default_port(source.transport))

    def sent_from(self, local: Hop) -> Via:
        """Return this Via as a client's transport stamps it: its own transport and address."""
        transport, host = local.transport.upper(), bracketed(local.host)
        return replace(self, transport=transport, host=host, port=local.port)

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        branch = f";branch={self.branch}" if self.branch else ""
        tail = "".join(f";{n}" if v is None else f";{n}={v}" for n, v in self.parameters)
        return f"SIP/2.0/{self.transport} {self.host}{port}{tail}{branch}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """A sequence number below 2**31 and a method (§20.16)."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        """Read `number method`; raise `SipError` for anything else."""
        number, _, method = text.strip().partition(" ")
        method = method.strip()
        if not (number.isascii() and number.isdigit() and len(number) <= 10 and is_token(method)):
            raise SipError("bad_cseq", "CSeq must be a number and a method")
        if int(number) >= MAX_CSEQ:
            raise SipError("bad_cseq", "the CSeq number must be below 2**31")
        return cls(int(number), method)

    def __str__(self) -> str:
        return f"{self.number} {self.method}"
