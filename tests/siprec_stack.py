"""A running stack that takes recording sessions, and what can be seen and said of one."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger_pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as ledger_rpc
from onrecord.api.signalling.v1 import signalling_pb2 as pb
from onrecord.api.signalling.v1 import signalling_pb2_grpc as rpc
from onrecord.contracts.entry import Entry
from onrecord.ledger.canonical import CanonicalEntry
from onrecord.platform.grpc import channel
from onrecord.platform.settings import ServiceSettings
from onrecord.standalone.checks import ANY_CALL, WHATEVER_HAPPENED, run_checks
from onrecord.standalone.checks.observed import Observed
from recording_client import RecordingClient
from stack import ROUTES, Laboratory, RunningStack

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


@dataclass(frozen=True)
class Heard:
    """A stream as the newest `session.described` has it, with its speakers' addresses opened."""

    leg: str
    label: str
    direction: str
    speakers: tuple[str, ...]
    confidence: str


async def attach(stack: RunningStack, party: str, **named: str) -> str:
    """State as `ivr` that a party was given the greeting; `named` says of which call."""
    request = pb.AttachRequest(system="ivr", party=party, notice="greeting", version="4", **named)
    async with channel(stack.endpoints["grpc.signalling"], ServiceSettings()) as opened:
        return (await rpc.CallControlStub(opened).Attach(request, timeout=10)).event_id


async def opened(stack: RunningStack, entry: Entry | CanonicalEntry) -> dict[str, Any]:
    """The sealed fields of an entry, by the one way that there is to them."""
    request = ledger_pb.OpenRequest(
        fields=ledger_pb.OpenFields(event_ids=[entry.event_id]),
        purpose="quality", person="tester", role="auditor", request_id=secrets.token_hex(8),
    )  # fmt: skip
    async with channel(stack.endpoints["grpc.consent-ledger"], ServiceSettings()) as door:
        reply = await ledger_rpc.LedgerStub(door).Open(request, timeout=10)
    fields: dict[str, Any] = json.loads(reply.fields[0].fields_json)
    return fields


async def heard(lab: Laboratory, described: Entry | CanonicalEntry) -> list[Heard]:
    """Who is heard in which stream by this fact."""
    participants = (await opened(lab.stack, described)).get("participants", [])
    return [
        Heard(
            stream["leg"],
            stream["label"],
            stream["direction"],
            tuple(participants[place]["aor"] for place in stream["heard"]),
            stream["confidence"],
        )
        for stream in described.fields["streams"]
    ]


async def recorded(
    lab: Laboratory, call: str, client: RecordingClient, verdict: str = "recorded"
) -> Observed:
    """The verdict says so, the audio is released, and everything that must hold does."""
    found = await lab.event(call, "call.verdict")
    assert found.fields["verdict"] == verdict, found.fields
    release = await lab.listen(call)
    assert release is not None
    seen = await lab.observe(call, client.tapes(), release, private())
    broken = [f for f in run_checks(seen, ANY_CALL | WHATEVER_HAPPENED) if not f.holds]
    assert not broken, broken
    return seen


async def nothing_kept(lab: Laboratory, call: str, client: RecordingClient) -> Observed:
    """No object, no permit that was used, and what holds for every call holds."""
    await lab.event(call, "call.verdict")
    seen = await lab.observe(call, client.tapes(), None, private())
    assert not seen.objects
    assert not seen.of_type("recording.started")
    assert not [f for f in run_checks(seen, ANY_CALL) if not f.holds]
    return seen


def private() -> tuple[str, ...]:
    """Addresses of the corpus that may stand nowhere in clear."""
    return ("biloxi.example.com", "9000@", "1002@", "9878942259", "8500@", "5550100", "5550123")


def fields_of(seen: Observed, event_type: str) -> list[Mapping[str, Any]]:
    """The open fields of all entries of a type."""
    return [entry.fields for entry in seen.of_type(event_type)]
