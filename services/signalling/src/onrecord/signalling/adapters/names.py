"""The names that routes send calls to, always looked up already: no call waits for DNS.

What was found last stands until something newer is: calls go on while every name server is down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver
from onrecord.platform.telemetry import get_logger, meter
from onrecord.sip.hop import Hop
from onrecord.sip.location import Pointer, Service, asks_for_services, hops, service_names
from onrecord.sip.uri import SipUri

log = get_logger()
failed = meter().create_counter("onrecord_sip_lookups_failed", description="names not looked up")

DNS_PORT = 53
LOOKUP_SECONDS = 5.0
SHORTEST_SECONDS, LONGEST_SECONDS = 5.0, 3600.0
"""Between two look-ups of a name, whatever its records' times to live say."""


@dataclass
class _Found:
    """What the records of one URI said, and for how many seconds that is good."""

    services: list[list[Service]] = field(default_factory=list)
    addresses: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = LONGEST_SECONDS


class Names:
    """Looks up the hosts of these URIs and again when their records run out (RFC 3263)."""

    def __init__(self, uris: Sequence[SipUri], name_servers: Sequence[str], random: Random) -> None:
        """`name_servers` are addresses, with a port after `#` if need be; none: the system's."""
        self._uris = {_key(uri): uri for uri in uris if not Hop.to(uri).is_address}
        self._random = random
        self._found: dict[str, _Found] = {}
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._name_servers = name_servers

    def hops(self, uri: SipUri) -> tuple[Hop, ...]:
        """Return where to send a request for a URI, best first; none when its name is unknown."""
        hop = Hop.to(uri)
        if hop.is_address:
            return (hop,)
        found = self._found.get(_key(uri))
        if found is None:
            return ()
        return hops(uri, found.services, found.addresses, self._random)

    @property
    def addresses(self) -> frozenset[str]:
        """Every address that the names stand for now."""
        return frozenset(
            address
            for found in self._found.values()
            for addresses in found.addresses.values()
            for address in addresses
        )

    @property
    def unknown(self) -> list[str]:
        """The hosts that were never found."""
        return [uri.host for key, uri in self._uris.items() if key not in self._found]

    async def look_up(self) -> None:
        """Look every name up once."""
        await asyncio.gather(*(self._refresh(key, uri) for key, uri in self._uris.items()))

    async def run(self) -> None:
        """Keep all names looked up, until cancelled."""
        await asyncio.gather(*(self._keep(key, uri) for key, uri in self._uris.items()))

    async def _keep(self, key: str, uri: SipUri) -> None:
        while True:
            found = self._found.get(key)
            await asyncio.sleep(found.seconds if found is not None else SHORTEST_SECONDS)
            await self._refresh(key, uri)

    async def _refresh(self, key: str, uri: SipUri) -> None:
        found = _Found()
        try:
            if asks_for_services(uri):
                await self._services(uri, found)
            hosts = {one.host for group in found.services for one in group}
            for host in hosts or {uri.host.lower()}:
                await self._addresses(host, found)
        except (dns.exception.DNSException, OSError) as error:
            failed.add(1)
            log.warning("name not looked up", host=uri.host, why=type(error).__name__)
            if key in self._found:
                self._found[key].seconds = SHORTEST_SECONDS
            return
        if any(found.addresses.values()):
            found.seconds = min(max(found.seconds, SHORTEST_SECONDS), LONGEST_SECONDS)
            self._found[key] = found

    async def _services(self, uri: SipUri, found: _Found) -> None:
        pointers = [
            Pointer(one.order, one.preference, one.service.decode(), str(one.replacement))
            for one in await self._ask(uri.host, "NAPTR", found)
        ]
        for transport, name in service_names(uri, pointers):
            group = [
                Service(transport, one.priority, one.weight, _host(one.target), one.port)
                for one in await self._ask(name, "SRV", found)
                if _host(one.target)
            ]
            if group:
                found.services.append(group)

    async def _addresses(self, host: str, found: _Found) -> None:
        for kind in ("A", "AAAA"):
            records = await self._ask(host, kind, found)
            found.addresses.setdefault(host, []).extend(str(one.address) for one in records)

    async def _ask(self, name: str, kind: str, found: _Found) -> list[Any]:
        """Return the records of a name; none when it has none. Raises when nobody can tell."""
        if self._resolver is None:
            self._resolver = self._make_resolver()
        try:
            answer = await self._resolver.resolve(
                name, kind, lifetime=LOOKUP_SECONDS, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN:
            return []
        if answer.rrset is None:
            return []
        found.seconds = min(found.seconds, float(answer.rrset.ttl))
        return list(answer.rrset)

    def _make_resolver(self) -> dns.asyncresolver.Resolver:
        if not self._name_servers:
            return dns.asyncresolver.Resolver()
        resolver = dns.asyncresolver.Resolver(configure=False)
        for text in self._name_servers:
            address, _, port = text.partition("#")
            resolver.nameservers = [*resolver.nameservers, address]
            resolver.nameserver_ports[address] = int(port or DNS_PORT)
        return resolver


def _key(uri: SipUri) -> str:
    """What look-ups depend on: not the user."""
    return str(uri.with_user(""))


def _host(target: dns.name.Name) -> str:
    """An SRV target as a host name; empty for `.`, which says that there is no such service."""
    return target.to_text(omit_final_dot=True).lower().strip(".")
