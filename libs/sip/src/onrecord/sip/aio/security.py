"""TLS with mutual authentication, and who a certificate says that the far side is (RFC 5922)."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from onrecord.sip.errors import SipError
from onrecord.sip.uri import SipUri

_READ = 1 << 16


@dataclass(frozen=True)
class Security:
    """One certificate of ours and one authority of theirs, for both directions.

    The far side must always show a certificate of that authority. Which names in it are enough is
    not decided here: OpenSSL's own host name check knows no trunks.
    """

    server: ssl.SSLContext
    client: ssl.SSLContext

    @classmethod
    def load(cls, certificate: Path, key: Path, authority: Path) -> Self:
        """Read PEM files. Raises OSError (ssl.SSLError is one) for files that do not fit."""
        contexts = []
        for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
            context = ssl.SSLContext(protocol)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(authority)
            context.load_cert_chain(certificate, key)
            contexts.append(context)
        return cls(*contexts)


class TlsStream:
    """One side of a TLS connection, without a socket: octets in, octets and plain text out.

    Not `loop.start_tls`: with uvloop the far side's first octets are read before it begins, and
    asyncio hands on what comes after the handshake before its certificate could be looked at.
    """

    def __init__(self, security: Security, *, is_server: bool) -> None:
        self.is_secure = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = security.server if is_server else security.client
        self._stream = context.wrap_bio(self._incoming, self._outgoing, server_side=is_server)

    @property
    def names(self) -> frozenset[str]:
        """What the far side's certificate says that it is."""
        return certified_names(self._stream.getpeercert())

    def receive(self, octets: bytes) -> bytes:
        """Take octets, none to begin; return the plain text in them. Raises ssl.SSLError."""
        self._incoming.write(octets)
        pieces: list[bytes] = []
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            if not self.is_secure:
                self._stream.do_handshake()
                self.is_secure = True
            while piece := self._stream.read(_READ):
                pieces.append(piece)
        return b"".join(pieces)

    def send(self, plain: bytes) -> None:
        """Encrypt what is to be sent, once the connection is secure."""
        self._stream.write(plain)

    def octets_to_send(self) -> bytes:
        """Return what is to go over the socket now, and forget it."""
        return self._outgoing.read()


def certified_names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the hosts that a certificate's subjectAltName names, as `[peers]` writes them.

    DNS names, IP addresses and the hosts of SIP URIs, in lower case; neither the common name nor
    wildcards count (RFC 5922 §7.1, §7.2).
    """
    found: set[str] = set()
    for kind, value in (certificate or {}).get("subjectAltName", ()):
        if kind == "DNS" and "*" not in value:
            found.add(value.lower())
        elif kind == "IP Address":
            found.add(_address(value))
        elif kind == "URI":
            found.add(_host(value))
    return frozenset(found - {""})


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return ""


def _host(text: str) -> str:
    try:
        uri = SipUri.parse(text)
    except SipError:
        return ""
    is_domain = uri.scheme in ("sip", "sips") and not uri.user
    return uri.host.strip("[]").lower() if is_domain else ""
