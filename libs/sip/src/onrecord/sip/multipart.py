"""RFC 2046 §5.1 and RFC 3261 §7.4.1: the parts of a message's body, read tolerantly and written.

Read: quoted and bare boundaries, parameters in any case, blank lines before the first part, LF and
CRLF, no blank after a header's colon, a missing end boundary, parts in any order, one multipart
inside another (flattened). Where a part ends is said by the boundary alone: a part's own
Content-Length is kept and not believed. Left out: transfer encodings, which SIP does not use, and
the choice among a multipart/alternative, whose parts are all given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from onrecord.sip.errors import SipError
from onrecord.sip.headers import Headers, canonical, split_parameters

MAX_BODY = 512 * 1024
MAX_PARTS = 16
MAX_PART_HEADERS = 32
MAX_PART_HEAD = 8_192
MAX_BOUNDARY = 200
_EMPTY_LINE = re.compile(rb"(?:\A|\r?\n)\r?\n")
_LINE = re.compile(r"\r\n|\n|\r")


class MultipartError(SipError):
    """A body that cannot be taken apart (400), is over a limit (413) or demands too much (415)."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a body: its own headers in their order, names in one spelling, and its octets."""

    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The first header of this name, empty where there is none."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def media_type(self) -> str:
        """The media type in lower case without parameters, empty where none is named."""
        return split_parameters(self.header("Content-Type"))[0].lower()

    @property
    def disposition(self) -> str:
        """The disposition type in lower case without parameters (RFC 3261 §20.11)."""
        return split_parameters(self.header("Content-Disposition"))[0].lower()

    @property
    def is_required(self) -> bool:
        """Whether `handling=required` is written.

        RFC 3261 §20.11 assumes it where nothing is written. A recorder that did so would lose
        calls to a vendor's private part, so only the written word counts here.
        """
        handling = split_parameters(self.header("Content-Disposition"))[1].get("handling")
        return (handling or "").strip('"').lower() == "required"


def read(headers: Headers, body: bytes) -> tuple[Part, ...]:
    """Return the parts of a message's body: none if it is empty, one if it is no multipart.

    Raises `MultipartError` and nothing else, for any octets.
    """
    if len(body) > MAX_BODY:
        raise MultipartError("body_too_large", f"a body may have {MAX_BODY} octets", 413)
    if not body.strip():
        return ()
    whole = Part(tuple(item for item in headers if item[0].startswith("Content-")), body)
    return tuple(_flattened(whole, levels=2))


def refuse_unknown(parts: Iterable[Part], is_known: Callable[[Part], bool]) -> None:
    """Raise `MultipartError` with status 415 for a part that is required and not known."""
    if any(part.is_required and not is_known(part) for part in parts):
        raise MultipartError("unsupported_part", "a required part of an unknown type", 415)


def write(parts: Iterable[Part], boundary: str) -> bytes:
    """Return the body that reads back as `parts`, under the Content-Type of `content_type`.

    Raises `MultipartError` where the boundary stands in a part, or a header holds a line break.
    """
    delimiter = b"--" + boundary.encode()
    pieces: list[bytes] = []
    for part in parts:
        if delimiter in part.body:
            raise MultipartError("boundary_in_body", "the boundary stands in a part", status=None)
        lines = [f"{name}: {value}" for name, value in part.headers]
        if any("\r" in line or "\n" in line for line in lines):
            raise MultipartError("bad_header", "a line break in a header's value", status=None)
        head = "".join(f"{line}\r\n" for line in lines)
        pieces += [delimiter, b"\r\n", head.encode(), b"\r\n", part.body, b"\r\n"]
    return b"".join([*pieces, delimiter, b"--\r\n"])


def content_type(boundary: str) -> str:
    """Return the Content-Type header of a body written with this boundary."""
    return f'multipart/mixed;boundary="{boundary}"'


def _flattened(part: Part, levels: int) -> Iterator[Part]:
    """Yield the parts inside `part`, or itself where it is none or stands too deep to be read."""
    if not levels or not part.media_type.startswith("multipart/"):
        yield part
        return
    for inner in _split(part):
        yield from _flattened(inner, levels - 1)


def _split(part: Part) -> Iterator[Part]:
    boundary = split_parameters(part.header("Content-Type"))[1].get("boundary") or ""
    boundary = boundary.strip('"')
    if not boundary or len(boundary) > MAX_BOUNDARY:
        raise MultipartError("no_boundary", "a multipart body needs a boundary parameter")
    delimiter = re.compile(
        rb"^--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*\r?(?:\n|\Z)",
        re.MULTILINE,
    )
    start = None
    for index, found in enumerate(delimiter.finditer(part.body)):
        if index > MAX_PARTS:
            raise MultipartError("too_many_parts", f"a multipart may have {MAX_PARTS} parts", 413)
        if start is not None:
            yield from _part(part.body[start : found.start()])
        start = found.end()
        if found.group(1):
            return
    if start is None:
        raise MultipartError("no_parts", "the boundary does not stand in the body")
    yield from _part(part.body[start:])  # the end boundary is missing


def _part(octets: bytes) -> Iterator[Part]:
    """Yield the part, without the line break that belongs to the boundary; nothing for nothing."""
    octets = octets.removesuffix(b"\n").removesuffix(b"\r")
    if not octets.strip():
        return
    end = _EMPTY_LINE.search(octets, 0, MAX_PART_HEAD)
    if end is None and len(octets) > MAX_PART_HEAD:
        raise MultipartError("part_head_too_large", f"a head may have {MAX_PART_HEAD} octets", 413)
    head, body = (octets[: end.start()], octets[end.end() :]) if end else (octets, b"")
    yield Part(tuple(_headers(head)), body)


def _headers(head: bytes) -> Iterator[tuple[str, str]]:
    """Yield the readable headers of a part; a line that is none is passed over."""
    try:
        text = head.decode()
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    lines: list[str] = []
    for line in _LINE.split(text):
        if line[:1] in (" ", "\t") and lines:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    if len(lines) > MAX_PART_HEADERS:
        raise MultipartError("too_many_headers", f"a part may have {MAX_PART_HEADERS} headers", 413)
    for line in lines:
        name, colon, value = line.partition(":")
        try:
            if colon:
                yield canonical(name.strip()), value.strip()
        except SipError:
            continue
