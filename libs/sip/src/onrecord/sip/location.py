"""RFC 3263 without a resolver: which records to ask for, and in which order to try them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from onrecord.sip.hop import Hop, Transport, default_port, transport_of
from onrecord.sip.uri import SipUri

_SERVICES: dict[str, Transport] = {"SIPS+D2T": "tls", "SIP+D2T": "tcp", "SIP+D2U": "udp"}
_SRV_NAMES: dict[Transport, str] = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}


@dataclass(frozen=True, slots=True)
class Pointer:
    """A NAPTR record that leads to SRV records (§4.1)."""

    order: int
    preference: int
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Service:
    """An SRV record (RFC 2782), with the transport that it was asked for."""

    transport: Transport
    priority: int
    weight: int
    host: str
    port: int


def asks_for_services(uri: SipUri) -> bool:
    """Whether SRV records say where a URI's host is: it has a name and no port (§4.2)."""
    return uri.port is None and not Hop.to(uri).is_address


def service_names(uri: SipUri, pointers: Sequence[Pointer]) -> list[tuple[Transport, str]]:
    """Return the SRV names to ask for, best first, with their transports (§4.1).

    NAPTR records choose only where the URI names no transport; `sips:` is never sent but by TLS.
    """
    named = any(name == "transport" for name, _ in uri.parameters)
    wanted = [transport_of(uri)] if named or uri.scheme == "sips" else []
    if wanted:
        return [(wanted[0], f"{_SRV_NAMES[wanted[0]]}.{uri.host}")]
    known = [pointer for pointer in pointers if pointer.service.upper() in _SERVICES]
    known.sort(key=lambda pointer: (pointer.order, pointer.preference))
    if known:
        return [(_SERVICES[one.service.upper()], one.replacement) for one in known]
    return [(transport, f"{_SRV_NAMES[transport]}.{uri.host}") for transport in ("udp", "tcp")]


def in_order(services: Sequence[Service], random: Random) -> list[Service]:
    """Return services as they are to be tried: by priority, within it by weighted chance."""
    ordered: list[Service] = []
    for priority in sorted({one.priority for one in services}):
        left = [one for one in services if one.priority == priority]
        while left:
            # RFC 2782: those without weight stand first, so that they have a small chance.
            left.sort(key=lambda one: one.weight > 0)
            point = random.randint(0, sum(one.weight for one in left))
            chosen = next(i for i in range(len(left)) if _running(left, i) >= point)
            ordered.append(left.pop(chosen))
    return ordered


def hops(
    uri: SipUri,
    services: Sequence[Sequence[Service]],
    addresses: Mapping[str, Sequence[str]],
    random: Random,
) -> tuple[Hop, ...]:
    """Return the hops to try for a URI: the groups of services in turn, without any the host."""
    targets = [one for group in services for one in in_order(group, random)]
    if not targets:
        transport = transport_of(uri)
        port = uri.port or default_port(transport)
        targets = [Service(transport, 0, 0, uri.host.lower(), port)]
    return tuple(
        Hop(one.transport, address, one.port)
        for one in targets
        for address in addresses.get(one.host, ())
    )


def _running(services: Sequence[Service], upto: int) -> int:
    return sum(one.weight for one in services[: upto + 1])
