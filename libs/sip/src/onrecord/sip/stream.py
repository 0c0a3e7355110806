"""RFC 3261 §18.3 and RFC 5626 §3.5.1: messages and keep-alives cut out of a stream's octets.

The end of a message follows from its one Content-Length, found exactly as `message.parse` finds
it: were the two to differ, a peer could hide one message in another. So whatever is doubtful ends
the stream.
"""

from __future__ import annotations

import re

from onrecord.sip.errors import SipError
from onrecord.sip.message import END_OF_HEAD, MAX_MESSAGE

PING = b"\r\n\r\n"
PONG = b"\r\n"
_LENGTH = re.compile(
    rb"[\r\n](?:content-length|l)[ \t]*:([^\r\n]*(?:(?:\r\n|\n|\r)[ \t][^\r\n]*)*)", re.IGNORECASE
)
_OVERLAP = 3


class Framer:
    """Takes a stream's octets in pieces of any size; never keeps more than one message's worth.

    `fault` says why no more messages can be found in the stream; from then on it is of no use.
    """

    def __init__(self) -> None:
        self.fault: SipError | None = None
        self._buffer = bytearray()
        self._scanned = 0
        self._needed = 0

    @property
    def is_inside(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer.strip(b"\r\n"))

    def receive(self, octets: bytes) -> list[bytes]:
        """Return the messages that these octets complete, in order, `PING` among them."""
        messages: list[bytes] = []
        if self.fault is not None:
            return messages
        self._buffer += octets
        try:
            while (message := self._next()) is not None:
                messages.append(message)
            if len(self._buffer) > MAX_MESSAGE:
                raise _too_large()
        except SipError as fault:
            self.fault = fault
            self._buffer.clear()
        return messages

    def _next(self) -> bytes | None:
        # §7.5: line ends before a message mean nothing, unless they are a ping or may become one.
        while not self._needed and self._buffer.startswith((b"\r", b"\n")):
            if self._buffer.startswith(PING):
                return self._take(len(PING))
            if PING.startswith(self._buffer):
                return None
            del self._buffer[0]
        if not self._needed:
            self._find_end()
        if not self._needed or len(self._buffer) < self._needed:
            return None
        return self._take(self._needed)

    def _find_end(self) -> None:
        found = END_OF_HEAD.search(self._buffer, self._scanned)
        if found is None:
            self._scanned = max(0, len(self._buffer) - _OVERLAP)
            return
        head = bytes(self._buffer[: found.start()])
        self._needed = found.end() + _content_length(head)
        if self._needed > MAX_MESSAGE:
            raise _too_large()

    def _take(self, length: int) -> bytes:
        message = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._needed = self._scanned = 0
        return message


def _content_length(head: bytes) -> int:
    values = _LENGTH.findall(head)
    if len(values) != 1:
        raise SipError("no_length", "a stream needs one Content-Length each", status=None)
    text = values[0].strip()
    if not (text.isdigit() and len(text) <= 9):
        raise SipError("bad_content_length", "Content-Length must be a number", status=None)
    return int(text)


def _too_large() -> SipError:
    return SipError("too_large", "a message may have 65,535 octets", status=None)
