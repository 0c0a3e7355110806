"""Recording sessions at the signalling service alone: sipp as the client, small doors behind it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from integration.signalling_stand import ProcessStand, Stand
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as media_pb
from onrecord.sip.message import Response
from onrecord.sip.siprec import description
from processes import until
from recording_client import LOOPBACK, RecordingClient, recording_client
from siprec_stack import WRITTEN

DEADLINE = 20.0
SIPREC = f'[siprec]\nline = "sbc"\n{WRITTEN}'


class SessionStand(Stand):
    """A signalling service that takes recording sessions, from these peers."""

    peers = LOOPBACK

    def settings(self) -> dict[str, object]:
        """The stand's own, with another routes file."""
        told = super().settings()
        file = self.folder / "routes.toml"
        text = file.read_text(encoding="utf-8").replace(f'["{LOOPBACK}"]', f'["{self.peers}"]')
        file.write_text(text + SIPREC, encoding="utf-8")
        return told


class ForeignStand(SessionStand):
    """The client's address is one that we send calls to, but no peer's."""

    peers = "192.0.2.77"


class KilledStand(SessionStand, ProcessStand):
    """The service as a process of its own."""


@contextlib.asynccontextmanager
async def client(
    stand: Stand, folder: Path, *steps: dict[str, object], transport: str = "u1"
) -> AsyncIterator[RecordingClient]:
    """A client that has begun, in Oracle's style, and then takes these steps."""
    async with recording_client("oracle", folder) as one:
        for step in steps:
            one.script.then(**step)  # type: ignore[arg-type]
        await one.place((LOOPBACK, stand.sip), transport)
        yield one


async def refused(stand: Stand, folder: Path, status: int) -> Response:
    """A client whose INVITE is refused: what it was told."""
    async with client(stand, folder) as one:
        await until(lambda: bool(finals(one)), DEADLINE)
    (answer,) = finals(one)
    assert answer.status == status
    return answer


def finals(one: RecordingClient) -> list[Response]:
    """The final responses that a client had to INVITEs."""
    return [m for m in one.messages() if isinstance(m, Response) and m.status >= 200]


async def test_who_is_no_peer_gets_403_and_no_port(tmp_path: Path) -> None:
    """Whatever the INVITE claims to be: a feature tag authenticates nobody."""
    async with ForeignStand(tmp_path, doors_up=True) as stand:
        await refused(stand, tmp_path / "src", 403)
        assert stand.doors.methods("Open", "Append") == []


async def test_a_full_server_says_so_at_once(tmp_path: Path) -> None:
    """503 with Retry-After: the client goes to its other recording server."""
    wait = {"do": "wait", "seconds": 3.0}
    async with (
        SessionStand(tmp_path, doors_up=True, max_calls=1) as stand,
        client(stand, tmp_path / "first", wait, {"do": "BYE"}) as first,
    ):
        await first.answer()
        answer = await refused(stand, tmp_path / "second", 503)
        assert answer.headers.get("Retry-After")


async def test_a_recorder_that_is_gone_refuses_the_session(tmp_path: Path) -> None:
    """503, so that the client tries elsewhere; the end is on record."""
    async with SessionStand(tmp_path, doors_up=True) as stand:
        stand.doors.faults["Open"] = grpc.StatusCode.UNAVAILABLE
        await refused(stand, tmp_path / "src", 503)
        await stand.doors.until_fact("call.ended")
        ended = stand.doors.fact("call.ended")
    assert (ended["answered"], ended["gate"]) == (False, "media_unavailable")


async def test_the_recorder_is_told_never_to_send(tmp_path: Path) -> None:
    """Both streams opened as received only, then the permit, then the end."""
    wait = {"do": "wait", "seconds": 0.5}
    async with (
        SessionStand(tmp_path, doors_up=True) as stand,
        client(stand, tmp_path / "src", wait, {"do": "BYE"}) as one,
    ):
        await one.over()
        await stand.doors.until_asked("Close")
        asked = stand.doors.methods("Open", "RequestPermit", "Record", "Close", "Announce")
        opened = next(r for m, r in stand.doors.asked if m == "Open")
    assert asked == ["Open", "RequestPermit", "Record", "Close"]
    assert isinstance(opened, media_pb.OpenRequest)
    assert opened.bridge == media_pb.BRIDGE_NEVER
    assert [leg.name for leg in opened.legs] == ["stream-0", "stream-1"]


async def test_an_offer_that_cannot_be_read_leaves_the_session_as_it_was(tmp_path: Path) -> None:
    """A re-INVITE of another type is 415, of no audio 488; what was agreed goes on."""
    text = {"do": "INVITE", "body": "hello", "content_type": "text/plain", "status": 415}
    broken = {"do": "INVITE", "body": "v=0\n", "content_type": "application/sdp", "status": 488}
    async with (
        SessionStand(tmp_path, doors_up=True) as stand,
        client(stand, tmp_path / "src", text, broken, {"do": "BYE"}) as one,
    ):
        await one.over()
        await stand.doors.until_fact("call.ended")
        assert stand.doors.fact("call.ended")["cause"] == "client_hung_up"


async def test_a_killed_server_ends_the_session_when_it_is_back(tmp_path: Path) -> None:
    """BYE to the client, which then begins anew; the end says that we were lost."""
    goodbye = {"do": "expect", "method": "BYE"}
    async with (
        KilledStand(tmp_path, doors_up=True) as stand,
        client(stand, tmp_path / "src", goodbye) as one,
    ):
        await one.answer()
        await stand.doors.until_asked("Record")
        await stand.kill()
        await stand.start()
        await one.over()
        await stand.doors.until_fact("call.ended")
        assert stand.doors.fact("call.ended")["cause"] == "signalling_lost"


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_our_side_of_the_answer(tmp_path: Path, transport: str) -> None:
    """`+sip.srs`, Supported and Accept, one port for each line (RFC 7866 §6.1.1): UDP and TCP."""
    async with (
        SessionStand(tmp_path, doors_up=True) as stand,
        client(stand, tmp_path / "src", {"do": "BYE"}, transport=transport) as one,
    ):
        answer = await one.answer()
        await one.over()
    assert "siprec" in answer.headers.values("Supported")
    assert {"application/rs-metadata+xml", "multipart/mixed"} <= set(
        answer.headers.values("Accept")
    )
    assert (answer.headers.get("Contact") or "").endswith(";+sip.srs")
    ports = [line.media.port for line in description.parse(answer.body)]
    assert len(set(ports)) == 2
