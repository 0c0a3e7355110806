"""Who is at the other end of a gRPC connection, by the certificate of mutual TLS.

A service's certificate has a DNS name whose first label is the service (`media-recorder`, or
`media-recorder.onrecord.svc`), which its clients check as well, and its node as the common name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc.aio
from onrecord.platform.errors import Denied


@dataclass(frozen=True, slots=True)
class Peer:
    """A caller whose certificate was verified: the services that it may speak for, its node."""

    services: frozenset[str]
    node: str


def peer_of(context: grpc.aio.ServicerContext[Any, Any]) -> Peer | None:
    """The caller by its certificate; None on a plain door, where nobody is told apart."""
    known = context.auth_context()
    if list(known.get("transport_security_type", ())) != [b"ssl"]:
        return None
    names = [_text(name) for name in known.get("peer_dns", ())]
    nodes = [_text(name) for name in known.get("x509_common_name", ())]
    services = frozenset(name.partition(".")[0] for name in names)
    return Peer(services, nodes[0] if nodes else "")


def only(context: grpc.aio.ServicerContext[Any, Any], service: str) -> Peer | None:
    """The caller, who must be this service where certificates say so. Raises Denied."""
    peer = peer_of(context)
    if peer is not None and service not in peer.services:
        raise Denied("other_service", f"this is for {service} alone")
    return peer


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
