"""Calls over TCP, TLS and IPv6: sipp, softphones and openssl as peers of a real service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from integration.signalling_stand import LOOPBACK, Sipp, Stand, free_port
from onrecord.sip.aio import Security
from onrecord.softphone import Softphone, answering
from onrecord.standalone.certificates import SipCertificates, ensure_certificates
from onrecord.standalone.folder import DataFolder

SECONDS = 20.0
PEERS = 'trunk = ["127.0.0.1", "::1"]'
UNRECORDED = "9000"
OPTIONS = (
    "OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;rport;branch=z9hG4bKs\r\n"
    "From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: s\r\n"
    "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


class EveryWay(Stand):
    """A service that listens on UDP, TCP and TLS, on IPv4 and IPv6; calls go on to `target`."""

    target = "sip:127.0.0.1:{agent}"

    def settings(self) -> dict[str, object]:
        """What the service is told."""
        told = super().settings()
        self.tls = free_port()
        self.certificates = ensure_certificates(
            DataFolder.at(self.folder / "pki"), LOOPBACK, datetime.now(UTC)
        )
        routes = self.folder / "routes.toml"
        text = routes.read_text().replace('trunk = ["127.0.0.1"]', PEERS)
        here = f"sip:127.0.0.1:{self.agent}"
        routes.write_text(text.replace(here, self.target.format(agent=self.agent)))
        return told | {
            "sip_listen": f"{LOOPBACK}:{self.sip},[::1]:{self.sip}",
            "sip_tls_listen": f"{LOOPBACK}:{self.tls},[::1]:{self.tls}",
            "sip_tls_cert": self.certificates.certificate("stack"),
            "sip_tls_key": self.certificates.key("stack"),
            "sip_tls_ca": self.certificates.authority,
        }


def phone_security(files: SipCertificates) -> Security:
    """TLS as a phone of the stack has it."""
    return Security.load(files.certificate("phone"), files.key("phone"), files.authority)


@pytest.fixture
async def stand(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[EveryWay]:
    """The service; a test names where it sends calls."""
    made = EveryWay(tmp_path, doors_up=True)
    made.target = request.param
    async with made:
        yield made


TO_TCP = "sip:127.0.0.1:{agent};transport=tcp"
TO_IPV6 = "sip:[::1]:{agent}"
TO_TLS = "sips:127.0.0.1:{agent}"


@pytest.mark.parametrize("number", ["1000", UNRECORDED, "112"])
@pytest.mark.parametrize(
    ("stand", "host", "way"),
    [(TO_TCP, LOOPBACK, "t1"), (TO_IPV6, "::1", "u1"), (TO_IPV6, "::1", "t1")],
    indirect=["stand"],
)
async def test_sipp_calls_sipp(stand: EveryWay, host: str, way: str, number: str) -> None:
    """TCP on both sides, IPv6 on both sides, and TCP over IPv6 to UDP."""
    to_agent = "t1" if "tcp" in stand.target else "u1"
    agent = await Sipp.start(
        stand.folder, "agent", "-i", host, "-t", to_agent, "-p", str(stand.agent),
        "-m", "1", "-sn", "uas",
    )  # fmt: skip
    bracketed = f"[{host}]" if ":" in host else host
    caller = await Sipp.start(
        stand.folder, "caller", "-i", host, "-t", way, "-p", str(free_port()), "-s", number,
        "-m", "1", "-sn", "uac", "-d", "300", f"{bracketed}:{stand.sip}",
    )  # fmt: skip
    try:
        await caller.wait()
        await agent.wait()
    finally:
        await caller.stop()
        await agent.stop()
    await stand.doors.until_fact("call.ended")


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
@pytest.mark.parametrize("stand", [TO_TLS], indirect=True)
async def test_softphones_talk_over_tls(stand: EveryWay, host: str) -> None:
    """Caller and agent are on TLS, the agent by `sips:`; both hang-ups find their way."""
    security = phone_security(stand.certificates)
    async with (
        Softphone(
            port=stand.agent, behaviour=answering(), transport="tls", security=security
        ) as agent,
        Softphone(host=host, transport="tls", security=security) as caller,
    ):
        for hangs_up in (caller, agent):
            call = await caller.call(UNRECORDED, (host, stand.tls))
            await call.wait_answered(SECONDS)
            other = agent.calls[-1]
            (call if hangs_up is caller else other).hang_up()
            ending = await (other if hangs_up is caller else call).wait_over(SECONDS)
            assert ending == "far_side_hung_up"


@pytest.mark.parametrize("stand", [TO_TLS], indirect=True)
async def test_openssl_gets_an_answer_only_with_a_certificate(stand: EveryWay) -> None:
    """An independent TLS client: 200 to its OPTIONS, nothing without a certificate."""
    files = stand.certificates
    shown = ("-cert", str(files.certificate("phone")), "-key", str(files.key("phone")))
    for arguments, expected in ((shown, True), ((), False)):
        client = await asyncio.create_subprocess_exec(
            "openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile",
            str(files.authority), *arguments, "-connect", f"{LOOPBACK}:{stand.tls}",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(OPTIONS.encode())
        async with asyncio.timeout(SECONDS):
            answer = await client.stdout.readline()
        assert (answer == b"SIP/2.0 200 OK\r\n") is expected
        if client.returncode is None:
            client.kill()
        await client.wait()
