"""What fuzzing starts from: for each parser a few inputs that it takes, and all that broke one."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fuzz.targets import KEY
from onrecord.media_recorder.adapters.spool import OpenUnit, SpoolHeader, UnitName
from onrecord.platform.journal import Journal
from onrecord.rtp.storage.unit import Frame, UnitHeader, encode_unit

DATA = Path(__file__).parents[1] / "data"
FOUND = DATA / "fuzz"
_UNIT = UnitHeader("c1", "caller", 17, 0, "PCMU", 8000, "c1:p0", "2026-11-23T10:00:00.000000Z")
_SDP = b"""v=0
o=- 1 1 IN IP4 192.0.2.1
s=-
c=IN IP4 192.0.2.1
t=0 0
m=audio 4000 RTP/AVP 8 101
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendonly
"""
_ROUTES = b"""[peers]
trunk = ["192.0.2.10"]
[[route]]
prefix = "0"
to = "sip:192.0.2.20:5060"
line = "main"
[emergency]
numbers = ["999"]
prefixes = ["", "9"]
to = "sip:192.0.2.20"
"""
_POSITION = b'{"sequence":65536,"ssrc":7,"timestamp":160}'
_PERMIT = (
    b'{"audience":"*","call":"c1","entries":["c1:call.started"],'
    b'"issued_at":"2026-11-23T10:00:00.000000Z","key_id":"k1","legs":{"agent":null,"caller":'
    + _POSITION
    + b'},"not_after":"2026-11-23T10:00:30.000000Z","pack":"uk","parties":["agent","caller"],'
    b'"permit_id":"c1:p0"}'
)


def seeds(name: str) -> list[bytes]:
    """The inputs that a parser starts from."""
    return [*_taken(name), *found(name)]


def found(name: str) -> list[bytes]:
    """The inputs that broke the parser once."""
    return [path.read_bytes() for path in sorted((FOUND / name).glob("*"))]


def _taken(name: str) -> Iterable[bytes]:
    match name:
        case "message" | "stream":
            return [path.read_bytes() for path in sorted((DATA / "sip").glob("*.sip"))]
        case "multipart" | "metadata":
            return map(_body_of, sorted((DATA / "siprec").glob("*.sip")))
        case "spool" | "journal":
            return [_written(name)]
    return _LITERAL[name]


def _wav() -> bytes:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 7, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", 160) + bytes(160)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def _body_of(path: Path) -> bytes:
    """The body behind its Content-Type, as the door of the multipart reader takes it."""
    head, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    types = [line for line in head.split(b"\n") if line.lower().startswith(b"content-type:")]
    return b"".join((types[0].partition(b":")[2].strip() if types else b"", b"\n", body))


def _written(name: str) -> bytes:
    """A file as a killed process leaves it."""
    with tempfile.TemporaryDirectory(prefix="onrecord-seed-") as folder:
        if name == "journal":
            journal = Journal(Path(folder, "j"), KEY)
            journal.append(b"a record")
            journal.acknowledge(journal.append(b"another"))
            journal.close()
            return Path(folder, "j").read_bytes()
        spooled = UnitName("c1", "caller", 17, 0)
        unit = OpenUnit(Path(folder), spooled, SpoolHeader(_UNIT, "c1:p0/0", b"{}", bytes(64)), KEY)
        unit.close()
        return spooled.path(Path(folder), "open").read_bytes()


_LITERAL = {
    "sdp": [_SDP],
    "uri": [b"sip:a%41;x=y@h.example:5061;transport=tcp;lr?S=1", b"tel:+44-20;ext=1"],
    "headers": [
        b'"A \\" b" <sip:a@192.0.2.1;lr>;tag=x;q="1;2"',
        b"SIP / 2.0 / UDP [2001:db8::1] : 5060 ;rport;branch=z9hG4bKx",
        b"7 INVITE",
    ],
    "rtp": [
        bytes((0x90, 0, 0, 1)) + bytes(8) + b"\xbe\xde\0\1abcd" + bytes(20),
        bytes((0xA1, 0x80, 0, 1)) + bytes(12) + b"abc\x01",
    ],
    "dtmf": [bytes.fromhex("050a0320058a0640")],
    "permit": [_PERMIT],
    "prompt": [_wav()],
    "unit": [encode_unit(_UNIT, [Frame(1, 2, 3, 4, 0, b"payload")])],
    "routes": [_ROUTES],
}
