"""Telephone events in RTP: RFC 4733 §2, the sixteen keys of a telephone.

Left out: every other event of the registry (they parse, but have no digit), and tones (§4).
"""

import struct
from typing import Final, NamedTuple

from onrecord.rtp.errors import MalformedEvent

DIGITS: Final = "0123456789*#ABCD"
_EVENT = struct.Struct(">BBH")


class TelephoneEvent(NamedTuple):
    """One event: `volume` is the drop below 0 dBm0, `duration` so far is in timestamp units."""

    event: int
    end: bool
    volume: int
    duration: int

    @property
    def digit(self) -> str | None:
        """The key that was pressed; None for an event that is not a key."""
        return DIGITS[self.event] if self.event < len(DIGITS) else None


class Digit(NamedTuple):
    """A key that was pressed and let go; `duration` in timestamp units."""

    digit: str
    duration: int


def parse(payload: bytes) -> TelephoneEvent:
    """Read the first event of a payload; `MalformedEvent` if it is shorter than one."""
    if len(payload) < _EVENT.size:
        raise MalformedEvent(f"a telephone event is 4 bytes, not {len(payload)}")
    event, flags, duration = _EVENT.unpack_from(payload)
    return TelephoneEvent(event, bool(flags & 0x80), flags & 0x3F, duration)


def build(event: TelephoneEvent) -> bytes:
    """Give the payload of an event."""
    return _EVENT.pack(event.event, (0x80 if event.end else 0) | event.volume, event.duration)


class DigitCollector:
    """Turns the packets of one source into key presses, each once.

    An event's packets share their timestamp (§2.2.1) and its end is sent three times (§2.5.1.4).
    An event whose end never arrives is given when the next one begins (§2.5.2.2).
    """

    def __init__(self) -> None:
        """Start with no key pressed."""
        self._timestamp: int | None = None
        self._pressed: Digit | None = None

    def feed(self, timestamp: int, event: TelephoneEvent) -> list[Digit]:
        """Take one event packet and its RTP timestamp; give the presses that it completes."""
        done = []
        if timestamp != self._timestamp:
            if self._pressed:
                done.append(self._pressed)
            self._timestamp, self._pressed = timestamp, None
        elif self._pressed is None:
            return []
        digit = event.digit
        if digit is None:
            return done
        self._pressed = Digit(digit, event.duration)
        if event.end:
            done.append(self._pressed)
            self._pressed = None
        return done
