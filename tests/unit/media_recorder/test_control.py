"""The mover's door answers every command, right or wrong, and survives any bytes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.media_recorder.mover.call import MoverRefused
from onrecord.media_recorder.mover.control import (
    Control,
    MalformedMessage,
    Messages,
    encode,
)
from onrecord.media_recorder.mover.engine import Engine
from onrecord.media_recorder.ring import Ring
from onrecord.rtp.packet import Packet, build


class Ports:
    """Ports that are only numbers; `left` are free."""

    def __init__(self, left: int = 100) -> None:
        self.left, self.bound = left, set[int]()

    def bind(self, flow: int) -> int:
        """Give the next port."""
        if len(self.bound) == self.left:
            raise MoverRefused("no_free_port")
        self.bound.add(flow)
        return 20000 + flow

    def release(self, flow: int) -> None:
        """Take it back."""
        self.bound.discard(flow)


class Door:
    """A control with its engine, ring and ports."""

    def __init__(self, ports: int = 100) -> None:
        self.ring, self.ports = Ring.create(65536), Ports(ports)
        self.engine = Engine(self.ring, lambda bits: 2**bits - 9)
        self.control = Control(self.engine, self.ring, self.ports, {"mover": "sockets"})

    def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and give its answer, as both travel."""
        (request,) = Messages().feed(encode({"do": command, "n": 1, **arguments}))
        return json.loads(encode(self.control.handle(request, 1.0, 10**9))[4:])

    def open(self, call: str = "c1") -> dict[str, Any]:
        """Open a call whose caller must be told first."""
        legs = [
            {"leg": leg, "remote": ["192.0.2.1", 4000 + n], "audio": 0}
            for n, leg in enumerate(("caller", "agent"))
        ]
        arguments = {"legs": legs, "bridge": "after_notices", "notice_legs": ["caller"]}
        return self.do("open", call=call, tag="t0", **arguments)


def test_call_is_opened_listed_played_cut_closed_and_forgotten() -> None:
    """A call's whole life, and that the tag of the last writer is kept for the next."""
    door = Door()
    opened = door.open()["ok"]
    assert opened == door.open()["ok"]
    assert len(door.ports.bound) == 2
    payload = base64.b64encode(bytes(320)).decode()
    prompt = {"payload": payload, "frame_octets": 160, "samples": 160, "payload_type": 0}
    arguments = {"call": "c1", "notice": "n", "leg": "caller", "is_notice": True}
    assert door.do("play", **arguments, **prompt) == {"n": 1, "ok": {"report": None}}
    list(door.engine.tick(1.0, 1))
    list(door.engine.tick(1.02, 2))
    (played,) = door.control.happenings()
    assert (played["what"], played["report"]["packets"]) == ("played", 2)
    permitted = door.do("permit", call="c1", legs=["caller", "agent"], tag="t0")["ok"]
    assert (permitted["cut"], permitted["head"]) == (None, door.ring.head)
    cut = door.do("cut", call="c1", tag="t1")["ok"]
    assert cut["cut"] == door.do("cut", call="c1", tag="t1")["ok"]["cut"] == door.ring.head > 0
    (listed,) = door.do("list")["ok"]["calls"]
    assert (listed["tag"], listed["closed"], len(listed["reports"])) == ("t1", False, 1)
    assert door.do("close", call="c1")["ok"]["closed"]
    assert door.ports.bound == set()
    assert door.do("forget", call="c1") == {"n": 1, "ok": {}}
    assert door.do("list")["ok"]["calls"] == []


def test_silence_is_told_in_seconds_of_a_clock_that_only_goes_forward() -> None:
    """A leg on which nothing ever came has none."""
    door = Door()
    door.open()
    packet = build(Packet(0, 1, 160, 7, b"a" * 160))
    number = door.engine.flow("c1", "caller").number
    door.engine.receive(number, packet, ("192.0.2.1", 4000), 0.25, 9 * 10**18)
    assert door.do("silences")["ok"] == {"c1": {"caller": 0.75, "agent": None}}


def test_no_free_port_leaves_nothing_open() -> None:
    """A call that cannot have all its ports has none, and may be tried again."""
    door = Door(ports=1)
    assert door.open()["error"] == "no_free_port"
    assert door.ports.bound == set()
    assert door.engine.idle
    door.ports.left = 2
    assert "ok" in door.open()


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({}, "unknown_command"),
        ({"do": "open"}, "bad_request"),
        ({"do": "close", "call": "c9"}, "unknown_call"),
        ({"do": "permit", "call": "c1", "legs": ["nobody"]}, "unknown_leg"),
        ({"do": "update", "call": "c1", "legs": [{"leg": "caller", "remote": [1]}]}, "bad_request"),
    ],
)
def test_wrong_commands_are_answered(request_: dict[str, Any], error: str) -> None:
    """Whatever is wrong with a command is its answer; the mover goes on."""
    door = Door()
    door.open()
    assert door.control.handle(request_, 1.0, 1)["error"] == error


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_messages_or_refused(data: bytes, chunk: int) -> None:
    """Arbitrary bytes in arbitrary chunks raise MalformedMessage and nothing else."""
    messages = Messages()
    try:
        for at in range(0, len(data), chunk):
            messages.feed(data[at : at + chunk])
    except MalformedMessage:
        return
