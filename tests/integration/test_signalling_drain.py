"""SIGTERM of the real process with a call up: new work is sent elsewhere, the call goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from integration.signalling_stand import LOOPBACK, ProcessStand, agent, caller
from integration.sipp_scenarios import hangs_up_after, scenario

SECONDS = 20.0
OPTIONS = (
    "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/TCP {host};rport;branch=z9hG4bK{n}\r\n"
    "From: <sip:a@{host}>;tag=1\r\nTo: <sip:b@{host}>\r\nCall-ID: d{n}\r\n"
    "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[ProcessStand]:
    """A service that waits for its calls when it stops."""
    async with ProcessStand(tmp_path, doors_up=True, drain_calls_seconds=15.0) as running:
        yield running


async def asked(stand: ProcessStand, n: int) -> bytes:
    """Ask OPTIONS over a stream of its own; return the answer's first line."""
    reader, writer = await asyncio.open_connection(LOOPBACK, stand.sip)
    writer.write(OPTIONS.format(host=LOOPBACK, n=n).encode())
    async with asyncio.timeout(SECONDS):
        line = await reader.readline()
    writer.close()
    return line


async def test_a_call_that_runs_outlives_sigterm(stand: ProcessStand) -> None:
    """OPTIONS says 503, the call is hung up by its caller, and only then does the process end."""
    async with agent(stand) as callee:
        phone = await caller(stand, "9000", "-sf", str(scenario(stand, hangs_up_after(3000))))
        await stand.doors.until_fact("call.answered")
        assert b" 200 " in await asked(stand, 1)
        stand.terminate()
        for n in range(2, 200):
            if b" 503 " in await asked(stand, n):
                break
        await phone.wait()
        await callee.wait()
    await stand.doors.until_fact("call.ended")
    assert stand.doors.fact("call.ended")["cause"] == "caller_hung_up"
    assert await stand.ended(SECONDS) == 0
