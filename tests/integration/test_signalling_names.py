"""Names in routes: a real DNS server on loopback, its records, its changes and its death."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import cast

import dns.message
import dns.rrset
import pytest
from integration.signalling_stand import LOOPBACK, Stand, agent, caller, free_port
from onrecord.signalling.adapters.names import Names
from onrecord.sip.hop import Hop
from onrecord.sip.uri import SipUri

PBX = SipUri.parse("sip:pbx.example")


class NameServer(asyncio.DatagramProtocol):
    """Answers what its records say; nothing while it `is_dead`."""

    def __init__(self) -> None:
        self.records: list[str] = []
        self.is_dead = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a question."""
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        question = query.question[0]
        for record in self.records:
            name, ttl, kind, rest = record.split(" ", 3)
            made = dns.rrset.from_text(name, int(ttl), "IN", kind, rest)
            if (made.name, made.rdtype) == (question.name, question.rdtype):
                key = (answer.answer, made.name, made.rdclass, made.rdtype)
                answer.find_rrset(*key, create=True).update(made)
        if not self.is_dead:
            self._transport.sendto(answer.to_wire(), addr)


@contextlib.asynccontextmanager
async def name_server(*records: str) -> AsyncIterator[tuple[NameServer, str]]:
    """Serve records; gives the server and its address as settings have it."""
    port = free_port()
    transport, made = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=(LOOPBACK, port)
    )
    made.records = list(records)
    yield made, f"{LOOPBACK}#{port}"
    transport.close()


def names(server: str, *uris: SipUri) -> Names:
    """Names with reproducible chances."""
    return Names(uris or (PBX,), [server], Random(1))  # noqa: S311


async def test_records_become_hops() -> None:
    """NAPTR to SRV to addresses of both IP versions."""
    async with name_server(
        'pbx.example. 60 NAPTR 10 1 "s" "SIP+D2T" "" _sip._tcp.pbx.example.',
        "_sip._tcp.pbx.example. 60 SRV 20 0 5070 b.pbx.example.",
        "_sip._tcp.pbx.example. 60 SRV 10 0 5060 a.pbx.example.",
        "a.pbx.example. 60 A 192.0.2.1",
        "a.pbx.example. 60 AAAA 2001:db8::1",
        "b.pbx.example. 60 A 192.0.2.2",
    ) as (_, server):
        found = names(server)
        assert found.unknown == ["pbx.example"]
        await found.look_up()
        assert found.hops(PBX.with_user("1000")) == (
            Hop("tcp", "192.0.2.1", 5060),
            Hop("tcp", "2001:db8::1", 5060),
            Hop("tcp", "192.0.2.2", 5070),
        )
        assert found.addresses == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
        assert found.unknown == []


async def test_what_was_found_last_holds_while_the_server_is_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change is taken, an outage is not one, and neither is a server that knows nothing."""
    monkeypatch.setattr("onrecord.signalling.adapters.names.LOOKUP_SECONDS", 0.3)
    async with name_server("pbx.example. 5 A 192.0.2.1") as (server, address):
        found = names(address)
        await found.look_up()
        server.records = ["pbx.example. 5 A 192.0.2.7"]
        await found.look_up()
        assert found.hops(PBX) == (Hop("udp", "192.0.2.7", 5060),)
        server.is_dead = True
        await found.look_up()
        assert found.hops(PBX) == (Hop("udp", "192.0.2.7", 5060),)
        server.is_dead, server.records = False, []
        await found.look_up()
        assert found.hops(PBX) == (Hop("udp", "192.0.2.7", 5060),)


async def test_a_name_that_nobody_knows_has_no_hops() -> None:
    """And an address needs no name server."""
    async with name_server() as (_, address):
        found = names(address)
        await found.look_up()
        assert found.hops(PBX) == ()
        there = SipUri.parse("sip:192.0.2.1")
        assert found.hops(there) == (Hop("udp", "192.0.2.1", 5060),)


class ByName(Stand):
    """A service whose routes name the agent."""

    def settings(self) -> dict[str, object]:
        """What the service is told."""
        told = super().settings()
        routes = self.folder / "routes.toml"
        here = f"sip:127.0.0.1:{self.agent}"
        routes.write_text(routes.read_text().replace(here, "sip:pbx.example;transport=tcp"))
        return told


async def test_a_call_goes_to_the_next_server_when_the_first_refuses(tmp_path: Path) -> None:
    """The first SRV target is not there; the second answers, whoever is called."""
    async with name_server() as (server, address):
        stand = ByName(tmp_path, doors_up=True, sip_name_servers=address)
        server.records = [
            f"_sip._tcp.pbx.example. 60 SRV 10 0 {free_port()} a.pbx.example.",
            f"_sip._tcp.pbx.example. 60 SRV 20 0 {stand.agent} a.pbx.example.",
            "a.pbx.example. 60 A 127.0.0.1",
        ]
        async with stand:
            for number in ("1000", "112"):
                async with agent(stand, "-sn", "uas", "-t", "t1"):
                    await (await caller(stand, number)).wait()
            await stand.doors.until_fact("call.ended", 2)
