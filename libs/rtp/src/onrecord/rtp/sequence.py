"""Extended sequence numbers of one received source: RFC 3550 appendix A.1.

Two things differ from the appendix, because a recorder keeps what arrived and does not only
estimate loss. There is no probation: the first packet counts. And a jump (beyond `MAX_MISORDER`
backwards, any distance forwards) is taken at once as the source going on from there, one cycle
higher if need be, instead of discarding the packet and waiting for a second one; numbers therefore
never fall because a sender started anew.
"""

from typing import Final

# The appendix has 100 (2 s of 20 ms packets); packets later than that still belong where they were
# sent.
MAX_MISORDER: Final = 1000
_CYCLE = 1 << 16


class SequenceTracker:
    """Follows one SSRC. Numbers start in cycle 0 with the first packet's own sequence number."""

    def __init__(self, first: int) -> None:
        """Begin at the sequence number (16 bits) of the first packet."""
        self.highest = first

    def extend(self, sequence: int) -> int | None:
        """Give the extended number of a packet, in time order or late.

        None where there is none: a packet sent before the first one we saw, on the far side of its
        wrap.
        """
        ahead = (sequence - self.highest) % _CYCLE
        behind = _CYCLE - ahead
        if behind <= MAX_MISORDER:
            extended = self.highest - behind
            return extended if extended >= 0 else None
        self.highest += ahead
        return self.highest
