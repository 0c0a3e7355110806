"""A recording session on a running stack: evidence, pauses, who comes and goes, how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from onrecord.api.signalling.v1 import signalling_pb2 as pb
from onrecord.api.signalling.v1 import signalling_pb2_grpc as rpc
from onrecord.platform.grpc import channel
from onrecord.platform.settings import ServiceSettings
from recording_client import Script, recording_client
from siprec_stack import (
    CLAIMED,
    attach,
    fields_of,
    heard,
    nothing_kept,
    opened,
    recorded,
    routes,
)
from stack import RunningStack, laboratory, running_stack

UCID = "001900014E3E7D5C"
"""What the offer in Oracle's style says of the call."""

METADATA = """<recording><datamode>partial</datamode>
<session session_id='again'><sipSessionID>abc@192.0.2.1</sipSessionID></session>
</recording>"""


@pytest.fixture(scope="module")
def claiming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Media is taken at once; nothing is kept before a system has said that both were told."""
    folder = tmp_path_factory.mktemp("siprec-claims")
    with running_stack(folder, routes=routes("memory", CLAIMED)) as running:
        yield running


async def test_what_was_heard_before_the_statement_is_not_kept(
    claiming: RunningStack, tmp_path: Path
) -> None:
    """Found by its UCID; each stream is kept from where it stood at the later statement."""
    async with (
        laboratory(claiming, port=0) as lab,
        recording_client("oracle", tmp_path) as client,
    ):
        head = await lab.head()
        client.script.then("wait", seconds=3).then("BYE")
        await client.place(claiming.sip)
        await client.talk(30)
        call = await lab.id_of_call_after(head)
        before = [len(sender.sent) for sender in client.senders]
        assert await attach(claiming, "caller", ucid=UCID) == f"{call}:notice.given:caller:0"
        assert await attach(claiming, "caller", ucid=UCID) == f"{call}:notice.given:caller:0"
        await attach(claiming, "agent", ucid=UCID)
        await lab.event(call, "recording.started")
        await client.talk(30)
        await client.over()
        seen = await recorded(lab, call, client)
    for number, sender in enumerate(client.senders):
        kept = {frame.sequence % 65536 for frame in seen.frames(f"stream-{number}")}
        early = {frame.sequence for frame in sender.sent[: before[number] - 1]}
        assert kept
        assert not kept & early
    (permit,) = fields_of(seen, "permit.issued")
    assert all(leg["first_kept"] for leg in permit["legs"])
    assert seen.only("call.verdict").fields["weakest_grade"] == "C"


async def test_without_a_statement_nothing_is_written(
    claiming: RunningStack, tmp_path: Path
) -> None:
    """Answered and listened to, and nothing of it on any disk; the verdict says why."""
    async with (
        laboratory(claiming, port=0) as lab,
        recording_client("ribbon", tmp_path) as client,
    ):
        head = await lab.head()
        client.script.then("wait", seconds=1).then("BYE")
        await client.place(claiming.sip)
        await client.talk(20)
        call = await lab.id_of_call_after(head)
        await client.over()
        seen = await nothing_kept(lab, call, client)
    assert not seen.of_type("permit.issued", "permit.refused")
    verdict = seen.only("call.verdict").fields
    assert (verdict["verdict"], verdict["causes"]) == ("failed", ["no_notice"])


async def test_one_party_told_is_not_enough(claiming: RunningStack, tmp_path: Path) -> None:
    """The agent was told, the caller was not: nothing is kept of either."""
    async with (
        laboratory(claiming, port=0) as lab,
        recording_client("cube", tmp_path) as client,
    ):
        head = await lab.head()
        client.script.then("wait", seconds=1).then("BYE")
        await client.place(claiming.sip)
        await client.talk(10)
        call = await lab.id_of_call_after(head)
        await attach(claiming, "agent", call_id=call)
        await client.talk(10)
        await client.over()
        await nothing_kept(lab, call, client)


async def test_a_system_may_state_only_what_the_line_names(claiming: RunningStack) -> None:
    """Another notice, another system, no such call: each refused by its own status."""
    refused: list[grpc.StatusCode] = []
    good = {"system": "ivr", "party": "caller", "notice": "greeting", "version": "4"}
    async with channel(claiming.endpoints["grpc.signalling"], ServiceSettings()) as opened_door:
        door = rpc.CallControlStub(opened_door)
        for request in (
            pb.AttachRequest(call_id="nobody", **good),
            pb.AttachRequest(ucid="none", **good),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await door.Attach(request, timeout=10)
            refused.append(caught.value.code())
    assert refused == [grpc.StatusCode.NOT_FOUND] * 2


async def test_the_story_of_a_call(claiming: RunningStack, tmp_path: Path) -> None:
    """Oracle's way: one line before the answer, both after it; a hold, a pause of ours, the end."""
    async with (
        laboratory(claiming, port=0) as lab,
        recording_client("oracle", tmp_path) as client,
    ):
        head = await lab.head()
        both = client.script
        ports = [sender.address[1] for sender in client.senders if sender.address]
        client.script = Script.of("oracle_before_answer", ports)
        multipart_type = both.invite.headers.get("Content-Type") or ""
        client.script.then("wait", seconds=1.5)
        client.script.then("INVITE", body=both.invite.body.decode(), content_type=multipart_type)
        client.script.then("wait", seconds=2.5)
        client.script.then(
            "INVITE", body=both.with_direction("inactive"), content_type="application/sdp"
        )
        client.script.then("wait", seconds=0.5)
        client.script.then(
            "INVITE", body=both.with_direction("sendonly"), content_type="application/sdp"
        )
        client.script.then("wait", seconds=1)
        client.script.then(
            "UPDATE", body=METADATA, content_type="application/rs-metadata+xml"
        ).then("wait", seconds=1.5).then("BYE")
        await client.place(claiming.sip)
        await client.talk(10)
        call = await lab.id_of_call_after(head)
        for party in ("caller", "agent"):
            await attach(claiming, party, call_id=call)
        await lab.event(call, "recording.started")
        await client.answer(1)
        client.script = both
        await lab.event(call, "party.joined")
        for party in ("caller", "agent"):
            await attach(claiming, party, call_id=call)
        await lab.event(call, "recording.resumed")
        await client.talk(30, number=1)
        await client.answer(3)
        await client.over()
        seen = await recorded(lab, call, client, verdict="partly_recorded")
        described = seen.of_type("session.described")
        assert [len(entry.fields["streams"]) for entry in described] == [1, 2, 2, 2, 2]
        present = [entry.fields["metadata"] for entry in described]
        assert present == ["present", "present", "absent", "absent", "present"]
        newest = described[1]
        assert [one.speakers for one in await heard(lab, newest)] == [
            ("sip:9000@192.0.2.102",),
            ("sip:1002@192.0.2.10",),
        ]
        assert "document" in await opened(claiming, newest)
    causes = set(seen.only("call.verdict").fields["causes"])
    assert {"client_paused"} <= causes <= {"client_paused", "party_joined", "stream_added"}
    legs = {unit.header.leg for unit in seen.units}
    assert legs == {"stream-0", "stream-1"}


async def test_a_line_that_the_client_stops_is_kept_no_longer(
    claiming: RunningStack, tmp_path: Path
) -> None:
    """One line inactive: what is sent there all the same is not kept, the other goes on."""
    async with (
        laboratory(claiming, port=0) as lab,
        recording_client("opensips", tmp_path) as client,
    ):
        head = await lab.head()
        one = client.script.with_direction("inactive", first_line=1)
        client.script.then("wait", seconds=2.5)
        client.script.then("INVITE", body=one, content_type="application/sdp")
        client.script.then("wait", seconds=2.5).then("BYE")
        await client.place(claiming.sip)
        await client.talk(10)
        call = await lab.id_of_call_after(head)
        for party in ("caller", "agent"):
            await attach(claiming, party, call_id=call)
        await lab.event(call, "recording.started")
        await client.talk(20)
        await lab.event(call, "recording.resumed")
        stopped = [len(sender.sent) for sender in client.senders]
        await client.talk(20, number=1)
        await client.over()
        seen = await recorded(lab, call, client, verdict="partly_recorded")
    late = [
        {frame.sequence for frame in sender.sent[count:]}
        & {frame.sequence % 65536 for frame in seen.frames(f"stream-{number}")}
        for number, (sender, count) in enumerate(zip(client.senders, stopped, strict=True))
    ]
    assert [bool(kept) for kept in late] == [True, False]
    assert all(
        len(sender.sent) > count for sender, count in zip(client.senders, stopped, strict=True)
    )
    assert seen.only("call.verdict").fields["causes"] == ["stream_stopped"]


async def test_a_session_of_no_seconds(claiming: RunningStack, tmp_path: Path) -> None:
    """BYE right after the answer is as normal as any end."""
    async with (
        laboratory(claiming, port=0) as lab,
        recording_client("opensips", tmp_path) as client,
    ):
        head = await lab.head()
        client.script.then("BYE")
        await client.place(claiming.sip)
        call = await lab.id_of_call_after(head)
        await client.over()
        seen = await nothing_kept(lab, call, client)
    assert seen.only("call.ended").fields["cause"] == "client_hung_up"


async def test_card_data_is_not_kept(claiming: RunningStack, tmp_path: Path) -> None:
    """Paused and resumed by CallControl: what was said meanwhile is in no stream."""
    async with (
        laboratory(claiming, port=0) as lab,
        recording_client("cube", tmp_path) as client,
        channel(claiming.endpoints["grpc.signalling"], ServiceSettings()) as to_signalling,
    ):
        door = rpc.CallControlStub(to_signalling)
        head = await lab.head()
        client.script.then("wait", seconds=4).then("BYE")
        await client.place(claiming.sip)
        await client.talk(10)
        call = await lab.id_of_call_after(head)
        for party in ("caller", "agent"):
            await attach(claiming, party, call_id=call)
        await lab.event(call, "recording.started")
        await client.talk(20)
        pause = pb.PauseRequest(call_id=call, cause="card_data", actor_role="agent", actor="a1")
        await door.Pause(pause, timeout=10)
        begin = [len(sender.sent) for sender in client.senders]
        await client.talk(25)
        end = [len(sender.sent) for sender in client.senders]
        resumed = await door.Resume(pb.ResumeRequest(call_id=call), timeout=10)
        assert resumed.recording, resumed.reason
        await client.talk(20)
        await client.over()
        seen = await recorded(lab, call, client, verdict="partly_recorded")
    assert seen.only("call.verdict").fields["causes"] == ["card_data"]
    for number, sender in enumerate(client.senders):
        kept = {frame.payload for frame in seen.frames(f"stream-{number}")}
        said = {frame.payload for frame in sender.sent[begin[number] + 1 : end[number]]}
        assert kept
        assert not kept & {payload for payload in said if len(set(payload)) > 1}
