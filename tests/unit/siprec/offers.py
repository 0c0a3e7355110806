"""The offers of tests/data/siprec, and what our side puts beside them."""

from __future__ import annotations

from pathlib import Path

from onrecord.sip import message
from onrecord.sip.message import Request
from onrecord.sip.siprec import description, offer
from onrecord.sip.siprec.description import Gate, LocalRecorder
from onrecord.sip.siprec.offer import RecordingOffer

FOLDER = Path(__file__).parents[2] / "data" / "siprec"


def request(name: str) -> Request:
    """The INVITE of this name."""
    return parsed((FOLDER / f"{name}.sip").read_bytes())


def parsed(octets: bytes) -> Request:
    """A request, or an assertion that fails."""
    read = message.parse(octets)
    assert isinstance(read, Request)
    return read


def recorder(read: RecordingOffer, gate: Gate = "open") -> LocalRecorder:
    """Our side with a port for every line that can be recorded."""
    ports = {index: 40_000 + 2 * index for index in description.recordable(read.media)}
    return LocalRecorder("198.51.100.10", ports, session_id=7, gate=gate)


def read(name: str) -> RecordingOffer:
    """The INVITE of this name, taken apart."""
    return offer.read(request(name))
