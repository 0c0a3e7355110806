"""The addresses of a stack: real servers that the environment names, free ports for the rest."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from onrecord.sip.uri import bracketed
from onrecord.standalone import ports
from onrecord.standalone.errors import BadRequest
from onrecord.standalone.folder import DataFolder
from onrecord.standalone.ports import ReservedPort

LOOPBACK = "127.0.0.1"
SIP_PORT = 5060
"""Where phones look for SIP (RFC 3261 §19.1.2): taken if it is free, so that it stays the same."""
SERVICES = ("signalling", "media-recorder", "announcement", "consent-ledger", "retrieval")


@dataclass
class Addresses:
    """The ports of one stack and who holds them; `release` gives all back."""

    sip: tuple[str, int]
    sip_tls: int
    grpc: dict[str, int]
    http: dict[str, int]
    kafka: str
    mongo: str
    objects: str
    reserved: list[ReservedPort] = field(default_factory=list)

    def release(self) -> None:
        """Give every port back."""
        for port in self.reserved:
            port.release()


@dataclass(frozen=True)
class External:
    """The real servers that the environment names; empty means that the embedded one is used."""

    mongo: str
    kafka: str
    objects: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> External:
        """Read ONRECORD_MONGO, ONRECORD_KAFKA and ONRECORD_OBJECTS."""
        return cls(*(environment.get(f"ONRECORD_{n}", "") for n in ("MONGO", "KAFKA", "OBJECTS")))


def choose_addresses(
    folder: DataFolder, external: External, sip: tuple[str, int] | None
) -> Addresses:
    """Pick and hold every port, once for the life of the stack. Raises `StartFailed`."""
    chosen = Addresses(sip or (LOOPBACK, 0), 0, {}, {}, external.kafka, external.mongo, "")
    chosen.objects = external.objects or str(folder.objects)
    try:
        chosen.sip, chosen.sip_tls = _hold_sip(chosen, *chosen.sip)
        for name in SERVICES:
            chosen.grpc[name] = _hold(chosen)
            chosen.http[name] = _hold(chosen)
        if not chosen.kafka:
            chosen.kafka = f"{LOOPBACK}:{_hold(chosen)}"
        if not chosen.mongo:
            # Without the journal, acknowledged writes are lost when the server is killed.
            chosen.mongo = f"mongodb://{LOOPBACK}:{_hold(chosen)}/?w=majority&journal=true"
    except BaseException:
        chosen.release()
        raise
    return chosen


def endpoint_addresses(chosen: Addresses) -> dict[str, str]:
    """The addresses as `endpoints.json` names them."""
    host, port = chosen.sip
    sip = bracketed(host)
    found = {"sip_udp": f"{sip}:{port}", "sip_tcp": f"{sip}:{port}"}
    found |= {"sip_tls": f"{sip}:{chosen.sip_tls}", "kafka": chosen.kafka}
    found["mongo"] = urlsplit(chosen.mongo).netloc.rpartition("@")[2]
    found |= {f"grpc.{name}": f"{LOOPBACK}:{port}" for name, port in chosen.grpc.items()}
    found |= {f"http.{name}": f"{LOOPBACK}:{port}" for name, port in chosen.http.items()}
    return found


def _hold(chosen: Addresses) -> int:
    port = ports.reserve(socket.SOCK_STREAM)
    chosen.reserved.append(port)
    return port.number


def _hold_sip(chosen: Addresses, host: str, number: int) -> tuple[tuple[str, int], int]:
    """One port for UDP and TCP, another for TLS: the next one where the user chose the first."""
    if host in ("", "0.0.0.0", "::"):
        raise BadRequest("--sip needs the address that others send to, such as 192.0.2.10:5060")
    found = []
    for kind, offset in ((socket.SOCK_DGRAM, 0), (socket.SOCK_STREAM, 1)):
        if number:
            port = ports.reserve_given(kind, host, number + offset)
        else:
            port = ports.reserve(kind, host, first=SIP_PORT + offset)
        chosen.reserved.append(port)
        found.append(port.number)
    return (host, found[0]), found[1]
