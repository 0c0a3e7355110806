"""What the real signalling process makes of what no phone should send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import grpc.aio
import pytest
from integration.signalling_stand import LOOPBACK, ProcessStand, agent, caller
from integration.sipp_scenarios import hangs_up_after, scenario
from onrecord.api.signalling.v1 import signalling_pb2 as pb
from onrecord.api.signalling.v1 import signalling_pb2_grpc as rpc
from onrecord.sip.message import Response, parse
from processes import until

TORTURE = Path(__file__).parents[1] / "data" / "sip"
MAX_CALLS = 5
SDP = (
    "v=0\r\no=u 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 41000 RTP/AVP 0\r\n"
)


class Peer(asyncio.DatagramProtocol):
    """A phone that writes its own messages and keeps what it is answered, by Call-ID."""

    def __init__(self, stand: ProcessStand) -> None:
        self.stand = stand
        self.answers: dict[str, list[Response]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Keep an answer."""
        message = parse(data)
        if isinstance(message, Response):
            self.answers.setdefault(message.call_id, []).append(message)

    def send(self, data: bytes) -> None:
        """Send octets."""
        self._transport.sendto(data)

    def ask(self, name: str, method: str = "OPTIONS", number: str = "1000", body: str = "") -> None:
        """Send a request with a Call-ID of this name."""
        self.send(
            f"{method} sip:{number}@{LOOPBACK} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {LOOPBACK};rport;branch=z9hG4bK{name}{number}\r\n"
            f"From: <sip:a@{LOOPBACK}>;tag=1\r\nTo: <sip:{number}@{LOOPBACK}>\r\n"
            f"Call-ID: {name}\r\nCSeq: 1 {method}\r\nContact: <sip:a@{LOOPBACK}>\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    async def status(self, name: str, **request: str) -> int:
        """Send a request until a final answer comes, as UDP needs; return its status."""
        async with asyncio.timeout(20):
            while not (final := [r for r in self.answers.get(name, ()) if r.status >= 200]):
                self.ask(name, **request)
                await asyncio.sleep(0.1)
        return final[0].status


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    """A phone at a running service that takes five calls."""
    loop = asyncio.get_running_loop()
    async with ProcessStand(tmp_path, doors_up=True, max_calls=MAX_CALLS, ring_seconds=60) as stand:
        transport, made = await loop.create_datagram_endpoint(
            lambda: Peer(stand), remote_addr=(LOOPBACK, stand.sip)
        )
        yield made
        transport.close()


def invite(line: str = "", instead: str = "", body: str = SDP) -> bytes:
    """An INVITE with one line changed."""
    text = (
        f"INVITE sip:1000@{LOOPBACK} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {LOOPBACK};rport;branch=z9hG4bKbad{abs(hash((instead, body)))}\r\n"
        f"From: <sip:a@{LOOPBACK}>;tag=2\r\nTo: <sip:1000@{LOOPBACK}>\r\nCall-ID: bad\r\n"
        f"CSeq: 1 INVITE\r\nContact: <sip:a@{LOOPBACK}>\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    assert line in text
    return text.replace(line, instead).encode()


VIA = f"Via: SIP/2.0/UDP {LOOPBACK};rport"
BAD = {
    "noise": bytes(range(256)),
    "truncated": invite()[:90],
    "cut in the body": invite()[:-20],
    "oversized, for nobody": invite("INVITE sip:1", "INVITE sip:5", SDP + "a=x\r\n" * 12_000),
    "Via port out of range": invite(VIA, f"Via: SIP/2.0/UDP {LOOPBACK}:99999"),
    "Via port 0": invite(VIA, f"Via: SIP/2.0/UDP {LOOPBACK}:0"),
    "Contact port out of range": invite("Contact: <sip:a@127.0.0.1>", "Contact: <sip:a@h:70000>"),
    "RTP port out of range": invite(body=SDP.replace("m=audio 41000", "m=audio 99999")),
    "negative RTP port": invite(body=SDP.replace("m=audio 41000", "m=audio -1")),
    "no audio": invite(body=SDP.replace("m=audio", "m=video")),
    "unknown codec": invite(body=SDP.replace("RTP/AVP 0", "RTP/AVP 18")),
}
ANSWERED = {
    "cut in the body": 400,
    "Contact port out of range": 400,
    "RTP port out of range": 488,
    "negative RTP port": 488,
    "no audio": 488,
    "unknown codec": 488,
    "oversized, for nobody": 404,
}


async def test_bad_input_is_refused_and_deafens_nobody(peer: Peer) -> None:
    """Each gets its status or silence; OPTIONS is answered after each, a call after all."""
    for number, (name, data) in enumerate(BAD.items()):
        bad = f"bad{number}"
        peer.send(data.replace(b"Call-ID: bad", f"Call-ID: {bad}".encode()))
        assert await peer.status(f"after{number}") == 200, name
        if name in ANSWERED:
            assert [r.status for r in peer.answers[bad]][-1] == ANSWERED[name], name
        else:
            assert bad not in peer.answers, name
    for path in sorted(TORTURE.glob("*.sip")):
        peer.send(path.read_bytes())
        assert await peer.status(path.stem) == 200, path.stem
    async with agent(peer.stand) as callee:
        phone = await caller(peer.stand, "1000")
        await phone.wait()
        await callee.wait()
    assert '"exception"' not in peer.stand.log


@pytest.mark.parametrize("callee", ["silent", "never acknowledged"])
async def test_a_flood_of_calls_is_bounded(peer: Peer, callee: str) -> None:
    """Beyond the limit 503 with Retry-After; OPTIONS and an emergency call go through."""
    stand, flood = peer.stand, [f"flood{number}" for number in range(300)]
    async with contextlib.AsyncExitStack() as stack:
        if callee != "silent":
            await stack.enter_async_context(agent(stand, calls=MAX_CALLS + 1))
        for number in range(0, len(flood), 20):
            for name in flood[number : number + 20]:
                peer.ask(name, "INVITE", body=SDP)
            await until(lambda: all(peer.answers.get(n) for n in flood[: number + 20]), 10)  # noqa: B023 - awaited here
        shed = [name for name in flood if peer.answers[name][0].status == 503]
        assert len(shed) == len(flood) - MAX_CALLS
        assert {peer.answers[name][0].headers.get("Retry-After") for name in shed} == {"10"}
        channel = grpc.aio.insecure_channel(f"{LOOPBACK}:{stand.control}")
        control = rpc.CallControlStub(await stack.enter_async_context(channel))
        assert len((await control.List(pb.ListRequest(), timeout=5)).calls) == MAX_CALLS
        assert await peer.status("control") == 200
        if callee == "silent":
            await stack.enter_async_context(agent(stand, calls=MAX_CALLS + 1))
        await (await caller(stand, "112", "-sf", str(scenario(stand, hangs_up_after(100))))).wait()
