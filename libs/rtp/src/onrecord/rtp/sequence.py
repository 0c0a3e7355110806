"""Extended sequence numbers of one received source: RFC 3550 appendix A.1.

Two things differ from the appendix, because a recorder keeps what arrived and does not only
estimate loss. There is no probation: the first packet counts. And a jump (beyond `MAX_MISORDER`
backwards, any distance forwards) is taken at once as the source going on from there, one cycle
higher if need be, instead of discarding the packet and waiting for a second one; numbers therefore
never fall because a sender started anew. So is a smaller step back whose timestamp goes on: what is
late was sampled earlier.
"""

from array import array
from typing import Final

# The appendix has 100 (2 s of 20 ms packets); packets later than that still belong where they were
# sent.
MAX_MISORDER: Final = 1000
_CYCLE = 1 << 16
_TIMESTAMPS = 1 << 32
# As many numbers as `SequenceTracker` can give again: a power of two above `MAX_MISORDER`.
_WINDOW = 1024
_NEVER = (1 << 64) - 1


class SequenceTracker:
    """Follows one SSRC. Numbers start in cycle 0 with the first packet's own sequence number."""

    def __init__(self, first: int, timestamp: int) -> None:
        """Begin at the sequence number (16 bits) and timestamp (32) of the first packet."""
        self.highest = first
        self._timestamp = timestamp

    def extend(self, sequence: int, timestamp: int) -> int | None:
        """Give the extended number of a packet, in time order or late.

        None where there is none: a packet sent before the first one we saw, on the far side of its
        wrap.
        """
        ahead = (sequence - self.highest) % _CYCLE
        behind = _CYCLE - ahead
        is_earlier = (self._timestamp - timestamp) % _TIMESTAMPS < _TIMESTAMPS // 2
        if behind <= MAX_MISORDER and is_earlier:
            extended = self.highest - behind
            return extended if extended >= 0 else None
        self.highest, self._timestamp = self.highest + ahead, timestamp
        return self.highest


class DuplicateWindow:
    """Tells a packet of one SSRC that arrives again, however the network doubled it.

    It is the same when number and timestamp are: a sender that starts anew at a number of a moment
    ago is not taken for its own echo. Whatever `SequenceTracker` takes as late is remembered.
    """

    def __init__(self) -> None:
        """Begin with nothing seen; takes 8 KiB."""
        self._seen = array("Q", [_NEVER]) * _WINDOW

    def is_new(self, sequence: int, timestamp: int) -> bool:
        """Say whether a packet is seen for the first time; `sequence` is extended."""
        place = sequence % _WINDOW
        # 32 bits of the number: the same place holds another one after 1024 packets.
        packet = (sequence & 0xFFFFFFFF) << 32 | timestamp
        if self._seen[place] == packet:
            return False
        self._seen[place] = packet
        return True
