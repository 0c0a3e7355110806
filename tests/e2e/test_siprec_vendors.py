"""sipp as a recording client in each vendor's style: answered, recorded, its participants known.

One stack takes media at once, the other answers inactive and asks for media when it may.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from onrecord.sip.siprec import description
from recording_client import OFFERS, RecordingClient, recording_client
from siprec_stack import CLAIMED, WRITTEN, Heard, attach, heard, recorded, routes
from stack import Laboratory, RunningStack, laboratory, running_stack

EXPECTED = tomllib.loads((OFFERS / "expected.toml").read_text(encoding="utf-8"))
WITHOUT_ADDRESS, PROVING = "opensips_old", 4
"""Names no address of its streams: a sender is believed from its fifth packet on."""

PAUSED = "cube_inactive"
"""Begins on hold: nothing is to be kept of it before it goes on."""

ASKED_LATER = (
    "cube", "cisco_nbr", "oracle", "ribbon", "broadworks_mixed", "audiocodes", "opensips",
    "metaswitch", "avaya_sbce", "sems",
)  # fmt: skip


@pytest.fixture(scope="module")
def told_in_writing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """`gate = "memory"`; what is published counts for everybody."""
    folder = tmp_path_factory.mktemp("siprec-memory")
    with running_stack(folder, routes=routes("memory", WRITTEN)) as running:
        yield running


@pytest.fixture(scope="module")
def told_by_claim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """`gate = "inactive"`; a system must say that the parties were told."""
    folder = tmp_path_factory.mktemp("siprec-inactive")
    with running_stack(folder, routes=routes("inactive", CLAIMED)) as running:
        yield running


@pytest.mark.parametrize("vendor", sorted(EXPECTED.keys() - {PAUSED}))
async def test_each_style_is_recorded(
    told_in_writing: RunningStack, tmp_path: Path, vendor: str
) -> None:
    """Answered `recvonly` with its labels, kept from the first packet, the speakers right."""
    async with (
        laboratory(told_in_writing, port=0) as lab,
        recording_client(vendor, tmp_path) as client,
    ):
        head = await lab.head()
        if EXPECTED[vendor]["metadata"] == "quarantined":
            client.script.then("expect", method="UPDATE")  # asks for all of it once more
        client.script.then("wait", seconds=1.2).then("BYE")
        await client.place(told_in_writing.sip)
        await client.talk(40)
        call = await lab.id_of_call_after(head)
        await client.over()
        await answered_as_expected(client)
        await understood_as_expected(lab, call, vendor)
        seen = await recorded(lab, call, client)
    for number, sender in enumerate(client.senders):
        first = seen.frames(f"stream-{number}")[0].sequence % 65536
        late = PROVING if vendor == WITHOUT_ADDRESS else 0
        assert first == (sender.sent[late].sequence)


@pytest.mark.parametrize("vendor", ASKED_LATER)
async def test_each_style_is_opened_by_our_reinvite(
    told_by_claim: RunningStack, tmp_path: Path, vendor: str
) -> None:
    """Answered `inactive`; once both were said to be told we ask for media (RFC 7866 figure 7)."""
    async with (
        laboratory(told_by_claim, port=0) as lab,
        recording_client(vendor, tmp_path) as client,
    ):
        head = await lab.head()
        client.script.then("expect", body=client.script.description())
        client.script.then("wait", seconds=1.2).then("BYE")
        await client.place(told_by_claim.sip)
        answer = description.parse((await client.answer()).body)
        assert {line.media.direction for line in answer if line.media.port} == {"inactive"}
        call = await lab.id_of_call_after(head)
        for party in ("caller", "agent"):
            await attach(told_by_claim, party, call_id=call)
        await client.asked()
        await client.talk(40)
        await client.over()
        seen = await recorded(lab, call, client)
        assert seen.only("call.verdict").fields["weakest_grade"] == "C"


async def test_a_session_that_begins_on_hold_is_not_asked_for(
    told_in_writing: RunningStack, tmp_path: Path
) -> None:
    """All lines inactive: no permit, nothing kept, until the client says that it goes on."""
    async with (
        laboratory(told_in_writing, port=0) as lab,
        recording_client(PAUSED, tmp_path) as client,
    ):
        head = await lab.head()
        again = client.script.with_direction("sendonly")
        client.script.then("wait", seconds=0.3)
        client.script.then("INVITE", body=again, content_type="application/sdp")
        client.script.then("wait", seconds=1.2).then("BYE")
        await client.place(told_in_writing.sip)
        call = await lab.id_of_call_after(head)
        await client.talk(40, number=1)
        await client.over()
        seen = await recorded(lab, call, client)
        directions = [
            {stream["direction"] for stream in entry.fields["streams"]}
            for entry in seen.of_type("session.described")
        ]
        assert directions == [{"inactive"}, {"recvonly"}]
        (permit,) = seen.of_type("permit.issued")
        assert permit.index > seen.of_type("session.described")[1].index


async def answered_as_expected(client: RecordingClient) -> None:
    """Every line in its place, labels echoed, the server's feature tag in Contact."""
    answer = await client.answer()
    assert "+sip.srs" in (answer.headers.get("Contact") or "")
    assert "siprec" in answer.headers.values("Supported")
    lines = description.parse(answer.body)
    expected = EXPECTED[client.vendor]
    assert [line.media.port == 0 for line in lines] == [a == "-" for a in expected["answers"]]
    labels = [label for label, a in zip(expected["labels"], expected["answers"], strict=True)
              if a != "-"]  # fmt: skip
    assert [line.label for line in lines if line.media.port] == labels
    assert {line.media.direction for line in lines if line.media.port} == {"recvonly"}


async def understood_as_expected(lab: Laboratory, call: str, vendor: str) -> None:
    """The speakers of each stream, how sure, the identifiers, and the document's fate."""
    expected = EXPECTED[vendor]
    described = await lab.event(call, "session.described")
    assert described.fields["metadata"] == expected["metadata"]
    assert described.fields.get("fault", "") == expected.get("fault", "")
    kept = [who for who, a in zip(expected["heard"], expected["answers"], strict=True) if a != "-"]
    assert [as_expected(one) for one in await heard(lab, described)] == kept
    known = {f"{one['kind']} {one['value']}" for one in described.fields["correlation"]}
    assert known >= {one for one in expected["ids"] if not one.startswith("sip_call_id")}


def as_expected(one: Heard) -> str:
    """A stream's speakers as the table writes them."""
    return f"{'+'.join(one.speakers)} {one.confidence}"
