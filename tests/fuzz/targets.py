"""Every parser of what comes from outside, each behind one door for fuzzers: octets in.

A door lets through the errors that its parser promises and nothing else; whatever else is raised is
a defect. Where reading promises that writing gives the same back, the door checks that too.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from onrecord.ledger import permit
from onrecord.ledger.errors import PermitError
from onrecord.media_recorder.adapters.spool import SpoolDamaged, read_open
from onrecord.media_recorder.domain import prompt
from onrecord.platform.journal import Journal
from onrecord.rtp import dtmf, packet
from onrecord.rtp.errors import MalformedUnit, RtpError
from onrecord.rtp.storage.unit import decode_unit
from onrecord.signalling.routes import RoutesError, load_routes
from onrecord.sip import message, multipart, sdp
from onrecord.sip.errors import SipError
from onrecord.sip.headers import Address, CSeq, Headers, Via, split_parameters
from onrecord.sip.hop import Hop
from onrecord.sip.siprec import metadata
from onrecord.sip.stream import Framer
from onrecord.sip.uri import SipUri

KEY = bytes(range(32))
SOURCE = Hop("udp", "192.0.2.1", 5060)


def _message(octets: bytes) -> None:
    with contextlib.suppress(SipError):
        read = message.parse(octets)
        if isinstance(read, message.Request):
            read.stamp_source(SOURCE)
            bytes(read.response(200, to_tag="t"))
        # What is read as a message is written as one: of the same kind, with the same routing.
        again = message.parse(bytes(read))
        assert type(again) is type(read)
        assert (again.call_id, again.cseq) == (read.call_id, read.cseq)


def _stream(octets: bytes) -> None:
    """The same messages, whether the octets come at once or one by one."""
    whole, pieces = Framer(), Framer()
    at_once = whole.receive(octets)
    one_by_one = [found for octet in octets for found in pieces.receive(bytes((octet,)))]
    assert at_once == one_by_one


def _sdp(octets: bytes) -> None:
    with contextlib.suppress(SipError):
        described = sdp.parse(octets)
        sdp.usable_codecs(described.audio, ("PCMA", "PCMU"))


def _multipart(octets: bytes) -> None:
    first, _, body = octets.partition(b"\n")
    headers = Headers([("Content-Type", first.decode("latin-1").strip())])
    with contextlib.suppress(SipError):
        multipart.read(headers, body)


def _metadata(octets: bytes) -> None:
    with contextlib.suppress(SipError):
        metadata.parse(octets)


def _uri(octets: bytes) -> None:
    with contextlib.suppress(SipError):
        read = SipUri.parse(octets.decode("latin-1"))
        assert isinstance(read.number, str)
        assert SipUri.parse(str(read)) == read


def _headers(octets: bytes) -> None:
    text = octets.decode("latin-1")
    for read in (Address.parse, Via.parse, CSeq.parse, split_parameters):
        with contextlib.suppress(SipError):
            read(text)


def _rtp(octets: bytes) -> None:
    with contextlib.suppress(RtpError):
        packet.parse(octets)


def _dtmf(octets: bytes) -> None:
    collector = dtmf.DigitCollector()
    for start in range(0, len(octets), 4):
        with contextlib.suppress(RtpError):
            collector.feed(start % 3, dtmf.parse(octets[start : start + 4]))


def _permit(octets: bytes) -> None:
    with contextlib.suppress(PermitError):
        read = permit.decode(octets)
        assert permit.encode(read) == octets


def _prompt(octets: bytes) -> None:
    with contextlib.suppress(prompt.BadPrompt):
        prompt.frames(octets, "PCMU")


def _unit(octets: bytes) -> None:
    with contextlib.suppress(MalformedUnit):
        decode_unit(octets)


def _spool(octets: bytes) -> None:
    with _file(octets) as path, contextlib.suppress(SpoolDamaged):
        read_open(path).decrypt(KEY)


def _journal(octets: bytes) -> None:
    with _file(octets) as path, contextlib.suppress(OSError):
        Journal(path, KEY).close()


def _routes(octets: bytes) -> None:
    with _file(octets) as path, contextlib.suppress(RoutesError):
        load_routes(path)


@contextlib.contextmanager
def _file(octets: bytes):
    with tempfile.TemporaryDirectory(prefix="onrecord-fuzz-") as folder:
        path = Path(folder) / "input"
        path.write_bytes(octets)
        yield path


TARGETS: Mapping[str, Callable[[bytes], None]] = MappingProxyType(
    {
        "message": _message,
        "stream": _stream,
        "sdp": _sdp,
        "multipart": _multipart,
        "metadata": _metadata,
        "uri": _uri,
        "headers": _headers,
        "rtp": _rtp,
        "dtmf": _dtmf,
        "permit": _permit,
        "prompt": _prompt,
        "unit": _unit,
        "spool": _spool,
        "journal": _journal,
        "routes": _routes,
    }
)
