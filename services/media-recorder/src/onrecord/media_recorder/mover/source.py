"""Whose packets a leg accepts: the signalled source, or one that earned it (RFC 7362, RTP bleed).

A port that takes its peer from whoever sends first can be stolen. Packets from the signalled
address and port are accepted at once and for good. Where the peer's NAT gives it another, or its
address is not yet known, a source is accepted after `PROOF` valid packets in a row within `WINDOW`,
one SSRC and rising sequence numbers; the first to do so holds the leg until the signalled source
itself sends or signalling names another. Nothing is ever sent to an address learned this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from onrecord.rtp.packet import Packet

Address = tuple[str, int]
PROOF: Final = 5
WINDOW: Final = 1.0


@dataclass(slots=True)
class _Candidate:
    """A foreign source that is proving itself."""

    address: Address
    ssrc: int
    sequence: int
    since: float
    packets: int


class SourceCheck:
    """Decides for one leg, packet by packet; remembers at most one candidate."""

    def __init__(self) -> None:
        """Begin with no address signalled and none accepted."""
        self.signalled: Address | None = None
        self._accepted: Address | None = None
        self._candidate: _Candidate | None = None

    def signal(self, address: Address | None) -> None:
        """Take the address from signalling; a changed one ends what was accepted before."""
        if address != self.signalled:
            self.signalled, self._accepted, self._candidate = address, None, None

    def accepts(self, source: Address, packet: Packet, now: float) -> bool:
        """Say whether a valid packet of an expected payload type is the party's."""
        if source == self.signalled:
            self._accepted = source
            return True
        if self._accepted is not None:
            return source == self._accepted
        if not self._proves(source, packet, now):
            return False
        self._accepted, self._candidate = source, None
        return True

    def _proves(self, source: Address, packet: Packet, now: float) -> bool:
        found = self._candidate
        if (
            found is None
            or (found.address, found.ssrc) != (source, packet.ssrc)
            or packet.sequence != (found.sequence + 1) % 65536
            or now - found.since > WINDOW
        ):
            self._candidate = _Candidate(source, packet.ssrc, packet.sequence, now, 1)
            return False
        found.sequence, found.packets = packet.sequence, found.packets + 1
        return found.packets >= PROOF
