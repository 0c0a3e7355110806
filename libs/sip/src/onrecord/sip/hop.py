"""Where a message goes or came from: RFC 3261's next hop, RFC 5626's flow."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from onrecord.sip.uri import DEFAULT_PORT, DEFAULT_TLS_PORT, SipUri, bracketed

Transport = Literal["udp", "tcp", "tls"]


def default_port(transport: Transport) -> int:
    """Return the port of a transport where none is named (§19.1.2)."""
    return DEFAULT_TLS_PORT if transport == "tls" else DEFAULT_PORT


@dataclass(frozen=True, slots=True)
class Hop:
    """A transport, an IP address without brackets (or a name not looked up yet) and a port.

    `connection` is the number that the owner of the sockets gave to a stream. A message to such a
    hop goes over that stream while it is open, otherwise over another one to host and port
    (§18.2.2). 0 means any stream, and is all that a datagram has.
    """

    transport: Transport
    host: str
    port: int
    connection: int = 0

    @classmethod
    def to(cls, uri: SipUri) -> Hop:
        """Where a request for this URI goes when its host is an address (RFC 3263 §4.1, §4.2)."""
        transport, host = transport_of(uri), uri.host.strip("[]")
        with contextlib.suppress(ValueError):
            host = str(ip_address(host))
        return cls(transport, host, uri.port or default_port(transport))

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address: nothing need be looked up."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def is_reliable(self) -> bool:
        """Whether what was sent arrives or the connection is lost: nothing is retransmitted."""
        return self.transport != "udp"

    @property
    def is_ipv6(self) -> bool:
        """Whether the host is an IPv6 address."""
        return ":" in self.host

    @property
    def sent_by(self) -> str:
        """Host and port as Via and Contact have them."""
        return f"{bracketed(self.host)}:{self.port}"


def transport_of(uri: SipUri) -> Transport:
    """Return the transport that a URI asks for: its parameter, TLS for `sips:`, else UDP.

    With `sips:` a `transport` parameter names what runs below TLS, so it is TLS all the same.
    """
    named = next((value for name, value in uri.parameters if name == "transport"), None)
    if uri.scheme == "sips" or (named or "").lower() == "tls":
        return "tls"
    return "tcp" if (named or "").lower() == "tcp" else "udp"
