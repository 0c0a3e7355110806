"""RFC 3261 §18 without sockets: our own addresses, and what waits to be sent to which hop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onrecord.sip.hop import Hop, Transport
from onrecord.sip.message import Request
from onrecord.sip.uri import SipUri

Outbox = list[tuple[bytes, Hop]]
Locate = Callable[[SipUri], tuple[Hop, ...]]
"""Says at once where a request for a URI goes, best hop first; nowhere if nobody knows."""

MAX_DATAGRAM = 1300
"""Octets of a request by UDP where the path's MTU is not known (§18.1.1)."""

_CONTACT_PARAMETER: dict[Transport, str] = {
    "udp": "",
    "tcp": ";transport=tcp",
    "tls": ";transport=tls",
}


class Transports:
    """The addresses that we send from and are reached at, one for each transport and IP version."""

    def __init__(self, local: Sequence[Hop], locate: Locate | None = None) -> None:
        """`local` are the addresses as peers see them; the first one stands in for what is none."""
        self.outbox: Outbox = []
        self.locate: Locate = locate or (lambda uri: (Hop.to(uri),))
        self._first = local[0]
        self._local = {(one.transport, one.is_ipv6): one for one in local}

    def local(self, hop: Hop) -> Hop:
        """Return the address of ours that a peer at `hop` is sent to from, and answers to."""
        return self._local.get((hop.transport, hop.is_ipv6), self._first)

    def has(self, hop: Hop) -> bool:
        """Whether we have the transport and the IP version that a hop needs."""
        return (hop.transport, hop.is_ipv6) in self._local

    def outgrows_datagram(self, request: Request) -> bool:
        """Whether a request is too large to be sent by UDP (§18.1.1)."""
        return len(bytes(request)) > MAX_DATAGRAM

    def contact(self, hop: Hop, uri: SipUri) -> str:
        """Return our Contact for a peer at `hop`; `sips:` for a `sips:` request (§12.1.1)."""
        local = self.local(hop)
        if uri.scheme == "sips":
            return f"<sips:{local.sent_by}>"
        return f"<sip:{local.sent_by}{_CONTACT_PARAMETER[local.transport]}>"

    def via(self, branch: str) -> str:
        """Return a Via that `send` completes; `rport` asks for answers to our source port."""
        first = self._first
        return f"SIP/2.0/{first.transport.upper()} {first.sent_by};rport;branch={branch}"

    def stamp(self, request: Request, hop: Hop) -> bytes:
        """Return a request of ours as it goes to `hop`: its Via says what it is sent from."""
        request.stamp_sender(self.local(hop))
        return bytes(request)

    def send(self, request: Request, hop: Hop) -> None:
        """Send a request outside any transaction: an ACK to a 2xx."""
        self.outbox.append((self.stamp(request, hop), hop))
