"""SIP messages that are nearly right: whole ones, changed at a few places, the same for a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

_DATA = Path(__file__).parents[1] / "data"
_BITS = (
    b'"', b"\\", b"<", b">", b";", b",", b" ", b"\t", b"\r\n", b"\r\n ", b"\n\n", b"\r", b":", b"=",
    b"@", b"%", b"%00", b"\x00", b"\xff", b"\xc3(", b"[::1]", b"[", b"]", b"/", b"(", b")", b"*",
    b"tag=", b";lr", b";rport", b";branch=z9hG4bK", b"sip:", b"tel:", b"-1", b"0", b"65536",
    b"4294967296", b"9" * 40, b"A" * 300,
)  # fmt: skip
_SDP = (
    b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 41000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)
_METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO", "PRACK", "REFER", "FLY")
_MOST_CHANGES = 4


def whole(method: str, number: int, *, body: bytes = b"", tag: str = "") -> bytes:
    """A request as a peer on loopback writes it; all of one `number` belong to one call."""
    kind = "Content-Type: application/sdp\r\n" if body else ""
    to = f";tag={tag}" if tag else ""
    return (
        f"{method} sip:0207946{number % 10_000:04}@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bK{method}{number}\r\n"
        f'From: "Caller" <sip:caller@127.0.0.1>;tag=f{number}\r\n'
        f"To: <sip:0207946{number % 10_000:04}@127.0.0.1>{to}\r\n"
        f"Call-ID: {number}@127.0.0.1\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:caller@127.0.0.1>\r\n{kind}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def mutants(seed: int) -> Iterator[bytes]:
    """Messages without end, most of them broken; a few are whole, so that calls come and go."""
    source = random.Random(seed)  # noqa: S311 - reproducible, not secret
    folders = (_DATA / "sip", _DATA / "siprec")
    known = [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.sip"))]
    number = 0
    while True:
        number += source.random() < 0.4
        method = source.choice(_METHODS)
        body = _SDP if method in ("INVITE", "UPDATE") else b""
        tag = source.choice(("", "", "t1"))
        message = source.choice((whole(method, number, body=body, tag=tag), source.choice(known)))
        yield _changed(message, source, known) if source.random() < 0.9 else message


def _changed(message: bytes, source: random.Random, known: list[bytes]) -> bytes:
    octets = bytearray(message)
    for _ in range(source.randint(1, _MOST_CHANGES)):
        at = source.randrange(len(octets) + 1)
        until = min(len(octets), at + source.randint(1, 40))
        match source.randrange(6):
            case 0:
                octets[at:at] = source.choice(_BITS)
            case 1:
                del octets[at:until]
            case 2:
                octets[at:at] = octets[at:until]
            case 3:
                octets[at:until] = source.randbytes(until - at)
            case 4:
                lines = octets.split(b"\r\n")
                source.shuffle(lines)
                octets = bytearray(b"\r\n".join(lines))
            case 5:
                other = source.choice(known)
                octets[at:] = other[source.randrange(len(other)) :]
    return bytes(octets[:65_535])
