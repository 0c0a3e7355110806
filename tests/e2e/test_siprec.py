"""Recording sessions (RFC 7866): sipp as a recording client in each vendor's style."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from onrecord.standalone.checks import ANY_CALL, WHATEVER_HAPPENED, run_checks
from recording_client import RecordingClient, recording_client
from stack import ROUTES, Laboratory, RunningStack, laboratory, running_stack

SAID = 'language = "en-GB"\nacts = ["recorded"]\npurposes = ["training", "quality"]\n'
WRITTEN = f"""
[[siprec.notice]]
notice = "terms-of-business"
version = "2026-01"
parties = ["caller", "agent"]
method = "written"
{SAID}"""
CLAIMED = f"""
[[siprec.notice]]
notice = "greeting"
version = "4"
parties = ["caller", "agent"]
method = "prompt"
systems = ["ivr"]
{SAID}"""


def routes(gate: str, notices: str) -> str:
    """The routes of every stack, with recording sessions taken like this."""
    return f'{ROUTES}\n[siprec]\nline = "sbc"\ngate = "{gate}"\n{notices}'


@pytest.fixture(scope="module")
def open_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Media is taken at once, everybody was told in writing."""
    folder = tmp_path_factory.mktemp("siprec-open")
    with running_stack(folder, routes=routes("memory", WRITTEN)) as running:
        yield running


async def test_a_session_is_recorded(open_stack: RunningStack, tmp_path: Path) -> None:
    """Answered, kept from the first packet, stored, and every promise holds."""
    async with (
        laboratory(open_stack, port=0) as lab,
        recording_client("rfc7866", tmp_path) as client,
    ):
        head = await lab.head()
        client.script.then("wait", seconds=2.0).then("BYE")
        await client.place(open_stack.sip)
        await client.talk(60)
        call = await lab.id_of_call_after(head)
        await client.over()
        await recorded(lab, call, client)


async def recorded(lab: Laboratory, call: str, client: RecordingClient) -> None:
    """The verdict says so, and everything that was sent is kept as it was sent."""
    verdict = await lab.event(call, "call.verdict")
    assert verdict.fields["verdict"] == "recorded", verdict.fields
    release = await lab.listen(call)
    assert release is not None
    seen = await lab.observe(call, client.tapes(), release)
    broken = [f for f in run_checks(seen, ANY_CALL | WHATEVER_HAPPENED) if not f.holds]
    assert not broken
