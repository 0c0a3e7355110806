"""RFC 3261 §7 and §25: SIP requests and responses, parsed from and written to datagrams.

Reads compact names, folded lines, repeated fields, LF line ends. Size caps come before parsing.
Header values are decoded as UTF-8, or as Latin-1 where they are not UTF-8, so reading never fails
on an octet. Left out: multipart bodies and stream framing.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from functools import cached_property

from onrecord.sip.errors import SipError
from onrecord.sip.headers import Address, CSeq, Headers, Via, canonical, is_token
from onrecord.sip.hop import Hop
from onrecord.sip.uri import SipUri

MAX_MESSAGE = 65_535
MAX_HEADERS = 256
_LINE = re.compile(r"\r\n|\n|\r")
END_OF_HEAD = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_REQUIRED = ("Via", "From", "To", "Call-ID", "CSeq")
_SINGLE = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type")
_REASONS = {
    100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 400: "Bad Request",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
    413: "Request Entity Too Large", 415: "Unsupported Media Type",
    416: "Unsupported URI Scheme", 420: "Bad Extension", 422: "Session Interval Too Small",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
    486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event",
    491: "Request Pending", 500: "Server Internal Error", 501: "Not Implemented",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
    505: "Version Not Supported", 513: "Message Too Large",
    603: "Decline",
}  # fmt: skip


def reason_phrase(status: int) -> str:
    """Return the RFC's words for a status, or a neutral one for a status without a name here."""
    return _REASONS.get(status, "Unknown")


class _Message:
    """What requests and responses share. Treat one as read-only once it is parsed or sent."""

    headers: Headers
    body: bytes

    @cached_property
    def via(self) -> Via:
        """The topmost Via."""
        return Via.parse(self._list_head("Via"))

    @cached_property
    def from_(self) -> Address:
        """The From header."""
        return Address.parse(self._one("From"))

    @cached_property
    def to(self) -> Address:
        """The To header."""
        return Address.parse(self._one("To"))

    @cached_property
    def cseq(self) -> CSeq:
        """The CSeq header."""
        return CSeq.parse(self._one("CSeq"))

    @property
    def call_id(self) -> str:
        """The Call-ID header."""
        return self._one("Call-ID")

    @cached_property
    def contact(self) -> Address | None:
        """The first Contact, None where there is none or it is `*`."""
        values = self.headers.values("Contact")
        return Address.parse(values[0]) if values and values[0] != "*" else None

    @property
    def branches(self) -> list[str]:
        """The branch of every Via that can be read, top first."""
        found = []
        for value in self.headers.values("Via"):
            with contextlib.suppress(SipError):
                found.append(Via.parse(value).branch)
        return found

    @cached_property
    def record_routes(self) -> tuple[Address, ...]:
        """Every Record-Route value, top first."""
        return tuple(map(Address.parse, self.headers.values("Record-Route")))

    @property
    def event_package(self) -> str:
        """The event that a NOTIFY or SUBSCRIBE is about (RFC 6665 §8.2.1), empty without one."""
        return (self.headers.get("Event") or "").partition(";")[0].strip().lower()

    @property
    def content_type(self) -> str:
        """The body's media type in lower case without parameters, empty where there is none."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    def _one(self, name: str) -> str:
        value = self.headers.get(name)
        if not value:
            raise SipError("missing_header", f"{name} is missing or empty")
        return value

    def _list_head(self, name: str) -> str:
        values = self.headers.values(name)
        if not values:
            raise SipError("missing_header", f"{name} is missing or empty")
        return values[0]

    def _serialise(self, start_line: str) -> bytes:
        lines = [start_line]
        lines += [f"{name}: {value}" for name, value in self.headers if name != "Content-Length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode() + self.body


class Request(_Message):
    """A request; `uri` is the Request-URI."""

    def __init__(self, method: str, uri: SipUri, headers: Headers, body: bytes = b"") -> None:
        self.method = method
        self.uri = uri
        self.headers = headers
        self.body = body

    def __bytes__(self) -> bytes:
        return self._serialise(f"{self.method} {self.uri} SIP/2.0")

    @property
    def max_forwards(self) -> int:
        """Hops left; 70 where the header is missing, as RFC 2543 clients send none."""
        text = self.headers.get("Max-Forwards")
        if text is None:
            return 70
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= 255):
            raise SipError("bad_max_forwards", "Max-Forwards must be a number up to 255")
        return int(text)

    def stamp_source(self, source: Hop) -> None:
        """Write where the request came from into its top Via (§18.2.1, RFC 3581 §4)."""
        self._set_via(self.via.received_from(source))

    def stamp_branch(self, branch: str) -> None:
        """Write another branch into its top Via: the same request, another transaction."""
        self._set_via(replace(self.via, branch=branch))

    def stamp_sender(self, local: Hop) -> None:
        """Write what we send it from into its top Via, as the transport has to (§18.1.1)."""
        via = self.via.sent_from(local)
        if via != self.via:
            self._set_via(via)

    def _set_via(self, via: Via) -> None:
        self.via = via
        self.headers.replace_first_value("Via", str(via))

    def response(self, status: int, reason: str = "", *, to_tag: str = "") -> Response:
        """Build the response with the headers that must be copied (§8.2.6.2)."""
        to = self._one("To")
        copied = [("Via", value) for value in self.headers.fields("Via")]
        copied.append(("From", self._one("From")))
        copied.append(("To", f"{to};tag={to_tag}" if to_tag and not self.to.tag else to))
        copied.append(("Call-ID", self.call_id))
        copied.append(("CSeq", self._one("CSeq")))
        return Response(status, reason or reason_phrase(status), Headers(copied))


class Response(_Message):
    """A response."""

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body

    def __bytes__(self) -> bytes:
        return self._serialise(f"SIP/2.0 {self.status} {self.reason}")


class MalformedRequest(SipError):
    """A request with a fault that can still be answered: `request` has its routing headers."""

    def __init__(self, fault: SipError, request: Request) -> None:
        super().__init__(fault.reason, fault.detail, fault.status or 400)
        self.request = request


def parse(data: bytes) -> Request | Response:
    """Read one datagram; raise `MalformedRequest` to be answered, or `SipError` to be dropped.

    Whatever is returned has readable routing headers: no property of it raises.
    Never raises anything else, for any octets.
    """
    if len(data) > MAX_MESSAGE:
        raise SipError("too_large", "a message may have 65,535 octets", status=None)
    head, end, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    lines = _decode(head).split("\r\n")
    if not len(lines) == head.count(b"\r") + 1 == head.count(b"\n") + 1:
        head, end, body = _split_at_any_line_end(data.lstrip(b"\r\n"))
        lines = _LINE.split(_decode(head))
    start_line = lines[0]
    headers, fault = _read_headers(lines[1:])
    if not end:
        fault = SipError("truncated", "no empty line after the headers")
    if start_line[:8].upper() == "SIP/2.0 ":
        return _response(start_line[8:], headers, body, fault)
    return _request(start_line, headers, body, fault)


def _decode(head: bytes) -> str:
    try:
        return head.decode()
    except UnicodeDecodeError:
        return head.decode("latin-1")


def _split_at_any_line_end(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Head, separator and body of a message whose lines do not all end in CRLF."""
    end = END_OF_HEAD.search(data)
    return (data[: end.start()], end.group(), data[end.end() :]) if end else (data, b"", b"")


def _read_headers(lines: list[str]) -> tuple[Headers, SipError | None]:
    """Return all headers that can be read, and the first fault among them."""
    fault = None
    if any(line[:1] in (" ", "\t", "") for line in lines):
        lines = _unfold(lines)
    if len(lines) > MAX_HEADERS:
        fault = SipError("too_many_headers", f"a message may have {MAX_HEADERS} headers", 513)
        lines = lines[:MAX_HEADERS]
    items: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        try:
            if not colon:
                raise SipError("bad_header", "a header line without a colon")
            items.append((canonical(name.strip()), value.strip()))
        except SipError as error:
            fault = fault or error
    return Headers(items), fault


def _unfold(lines: list[str]) -> list[str]:
    """Put continued lines behind those that they continue (§7.3.1), leave out empty ones."""
    unfolded: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t") and unfolded:
            unfolded[-1] += " " + line.strip()
        elif line:
            unfolded.append(line)
    return unfolded


def _response(line: str, headers: Headers, body: bytes, fault: SipError | None) -> Response:
    status, _, reason = line.partition(" ")
    try:
        if fault is not None:
            raise fault
        if not (status.isascii() and status.isdigit() and "100" <= status <= "699"):
            raise SipError("bad_status", "a status must be 100 to 699")
        response = Response(int(status), reason, headers)
        _check(response)
        response.body = _cut_body(response, body)
    except SipError as error:
        raise SipError(error.reason, error.detail, status=None) from None
    return response


def _request(line: str, headers: Headers, body: bytes, fault: SipError | None) -> Request:
    method, _, rest = line.rstrip().partition(" ")
    uri_text, _, version = rest.rpartition(" ")
    if not is_token(method) or not version.upper().startswith("SIP/"):
        raise SipError("not_sip", "no SIP start line", status=None)
    request = Request(method, SipUri("invalid.invalid"), headers)
    try:
        if fault is not None:
            raise fault
        if version.upper() != "SIP/2.0":
            raise SipError("bad_version", "the version must be SIP/2.0", status=505)
        request.uri = SipUri.parse(uri_text)
        known = request.uri.scheme in ("sip", "sips", "tel") or request.uri.is_emergency_service
        if not known:
            raise SipError("bad_scheme", "a Request-URI must be sip, sips or tel", status=416)
        _check(request)
        _ = request.max_forwards
        if request.cseq.method != method:
            raise SipError("bad_cseq", "the method of CSeq must be the request's")
        request.body = _cut_body(request, body)
    except SipError as error:
        raise _answerable(error, request) from None
    return request


def _check(message: Request | Response) -> None:
    names = [name for name, _ in message.headers]
    if len(set(names)) < len(names):
        for name in _SINGLE:
            if names.count(name) > 1:
                raise SipError("repeated_header", f"{name} must stand once")
    _ = message.via, message.from_, message.to, message.cseq, message.call_id
    _ = message.contact, message.record_routes


def _cut_body(message: Request | Response, body: bytes) -> bytes:
    text = message.headers.get("Content-Length")
    if text is None:
        return body
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise SipError("bad_content_length", "Content-Length must be a number")
    if int(text) > len(body):
        raise SipError("truncated", "the body is shorter than Content-Length")
    return body[: int(text)]


def _answerable(fault: SipError, request: Request) -> SipError:
    """Say whether `request` has what a response must copy; an ACK is never answered."""
    try:
        _ = request.via, request.to, request.call_id, request.headers.get("From")
        answerable = request.method != "ACK" and all(map(request.headers.get, _REQUIRED))
    except SipError:
        answerable = False
    if answerable:
        return MalformedRequest(fault, request)
    return SipError(fault.reason, fault.detail, status=None)
