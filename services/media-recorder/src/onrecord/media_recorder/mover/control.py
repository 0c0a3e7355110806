"""The door of a mover: commands of the one writer, as JSON, whatever engine moves the packets.

Each message is a u32 length and a JSON object. A command has `do` and `n`; its answer repeats `n`
and has `ok` (an object) or `error` (a slug). Unasked, a mover sends objects with `what`. The answer
to `attach` carries the ring's descriptor (SCM_RIGHTS). A writer that attaches replaces the one
before; `list` tells it which calls there are. Where a command changes what is captured, its
answer names the ring's `head` at that instant: records before it are from before.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, Protocol

from onrecord.ledger.permit import Position
from onrecord.media_recorder.domain.coverage import loss_of
from onrecord.media_recorder.mover.call import Bridge, Call, LegMedia, MoverRefused, Prompt
from onrecord.media_recorder.mover.engine import Engine, Happening
from onrecord.media_recorder.mover.playback import PlayReport
from onrecord.media_recorder.ring import Ring

MAX_MESSAGE: Final = 16 << 20
LENGTH = struct.Struct(">I")
Json = dict[str, Any]


class MalformedMessage(Exception):
    """A control message that is too long or no JSON object: the connection cannot go on."""


class Ports(Protocol):
    """Where a flow's socket comes from."""

    def bind(self, flow: int) -> int:
        """Open a port for a flow and give its number. Raises `MoverRefused` when none is free."""

    def release(self, flow: int) -> None:
        """Close a flow's port, if it has one."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Give the bytes of a message."""
    text = json.dumps(message, separators=(",", ":")).encode()
    return LENGTH.pack(len(text)) + text


class Messages:
    """Reads messages from a stream of bytes."""

    def __init__(self) -> None:
        """Begin between two messages."""
        self._rest = b""

    def feed(self, data: bytes) -> list[Json]:
        """Take bytes and give the messages that they complete. Raises `MalformedMessage`."""
        self._rest += data
        found = []
        while len(self._rest) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._rest)
            if length > MAX_MESSAGE:
                raise MalformedMessage(f"a message of {length} bytes")
            end = LENGTH.size + length
            if len(self._rest) < end:
                break
            found.append(_load(self._rest[LENGTH.size : end]))
            self._rest = self._rest[end:]
        return found


class Control:
    """Carries out commands on an engine. Holds no socket and no clock of its own."""

    def __init__(self, engine: Engine, ring: Ring, ports: Ports, about: Json) -> None:
        """`about` says which mover this is; every `attach` is answered with it."""
        self._engine = engine
        self._ring = ring
        self._ports = ports
        self._about = about
        self._commands = {
            "attach": self._attach,
            "open": self._open,
            "update": self._update,
            "play": self._play,
            "permit": self._permit,
            "cut": self._cut,
            "told": self._told,
            "close": self._close,
            "forget": self._forget,
            "list": self._list,
            "silences": self._silences,
        }

    def handle(self, request: Json, now: float, utc_ns: int) -> Json:
        """Do one command and give its answer; whatever is wrong with it is an answer too."""
        number = request.get("n")
        command = self._commands.get(str(request.get("do")))
        if command is None:
            return {"n": number, "error": "unknown_command"}
        try:
            answer = command(request, now, utc_ns)
            if "tag" in request and request["do"] != "open":
                self._engine.call(request["call"]).tag = request["tag"]
        except MoverRefused as refusal:
            return {"n": number, "error": refusal.reason}
        except (LookupError, TypeError, ValueError) as error:
            return {"n": number, "error": "bad_request", "detail": repr(error)}
        return {"n": number, "ok": answer}

    def happenings(self) -> list[Json]:
        """Give, once, what happened since the last time."""
        waiting = self._engine.happenings
        return [_happening(waiting.popleft()) for _ in range(len(waiting))]

    def _attach(self, _request: Json, _now: float, _utc_ns: int) -> Json:
        return dict(self._about)

    def _open(self, request: Json, _now: float, _utc_ns: int) -> Json:
        legs = [_leg(found) for found in request["legs"]]
        bridge, notices = Bridge(request["bridge"]), set(request["notice_legs"])
        call = self._engine.open(request["call"], request["tag"], legs, bridge, notices)
        self._bind(call)
        return self._described(call)

    def _bind(self, call: Call) -> None:
        for flow in (flow for flow in call.flows.values() if not (flow.port or flow.closed)):
            try:
                flow.port = self._ports.bind(flow.number)
            except MoverRefused:
                self._end(call, 0)
                self._engine.forget(call.call)
                raise
            for number in (flow.number, flow.service):
                self._ring.decide(number, self._ring.head)

    def _update(self, request: Json, _now: float, _utc_ns: int) -> Json:
        bridge = Bridge(request["bridge"]) if request.get("bridge") else None
        self._engine.update(request["call"], [_leg(found) for found in request["legs"]], bridge)
        return {}

    def _play(self, request: Json, now: float, utc_ns: int) -> Json:
        audio, octets = base64.b64decode(request["payload"]), int(request["frame_octets"])
        prompt = Prompt(
            request["notice"],
            request["leg"],
            int(request["payload_type"]),
            tuple(audio[at : at + octets] for at in range(0, len(audio), octets)),
            int(request["samples"]),
            bool(request["is_notice"]),
        )
        report = self._engine.play(request["call"], prompt, now, utc_ns)
        return {"report": _report(report) if report else None}

    def _permit(self, request: Json, now: float, _utc_ns: int) -> Json:
        call = self._engine.call(request["call"])
        self._engine.permit(call.call, request["legs"], now)
        call.cut = None
        if call.bridge is Bridge.ON_PERMIT:
            call.bridged = True
        return self._described(call)

    def _told(self, request: Json, _now: float, _utc_ns: int) -> Json:
        call = self._engine.call(request["call"])
        self._engine.told(call.call)
        return self._described(call)

    def _cut(self, request: Json, _now: float, _utc_ns: int) -> Json:
        call = self._engine.call(request["call"])
        self._engine.cut(call.call)
        self._note_cut(call)
        return self._described(call)

    def _note_cut(self, call: Call) -> None:
        call.cut = self._ring.head if call.cut is None else call.cut

    def _close(self, request: Json, _now: float, utc_ns: int) -> Json:
        call = self._engine.call(request["call"])
        self._end(call, utc_ns)
        return self._described(call)

    def _end(self, call: Call, utc_ns: int) -> None:
        self._engine.close(call.call, utc_ns)
        self._note_cut(call)
        for flow in call.flows.values():
            self._ports.release(flow.number)

    def _forget(self, request: Json, _now: float, utc_ns: int) -> Json:
        if request["call"] in self._engine.calls:
            self._end(self._engine.call(request["call"]), utc_ns)
            self._engine.forget(request["call"])
        return {}

    def _list(self, request: Json, _now: float, _utc_ns: int) -> Json:
        wanted = request.get("call")
        calls = self._engine.calls
        chosen = [calls[wanted]] if wanted in calls else [] if wanted else calls.values()
        return {"calls": [self._described(call) for call in chosen], "head": self._ring.head}

    def _silences(self, _request: Json, now: float, _utc_ns: int) -> Json:
        """Give for how many seconds each leg was silent; null where nothing ever came."""
        return {
            call.call: {
                leg: None if flow.last_arrival is None else now - flow.last_arrival
                for leg, flow in call.flows.items()
            }
            for call in self._engine.calls.values()
        }

    def _described(self, call: Call) -> Json:
        return {
            "call": call.call,
            "tag": call.tag,
            "head": self._ring.head,
            "bridged": call.bridged,
            "closed": call.closed,
            "cut": call.cut,
            "legs": {
                leg: {
                    "flow": flow.number,
                    "service_flow": flow.service,
                    "port": flow.port,
                    "received": _position(flow.received),
                    "capturing": flow.capturing,
                    "counters": asdict(flow.counters),
                }
                for leg, flow in call.flows.items()
            },
            # What the ring had no room for, up to now: word of it may come too late to be read.
            "lost": [
                {"leg": leg, "loss": loss_of(record)._asdict()}
                for flow in call.flows.values()
                for leg, records in self._engine.untold(flow).items()
                for record in records
            ],
            "reports": [_report(report) for report in call.reports.values()],
        }


def _load(text: bytes) -> Json:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("not JSON") from error
    if not isinstance(message, dict):
        raise MalformedMessage("not an object")
    return message


def _leg(found: Json) -> LegMedia:
    remote = found.get("remote")
    return LegMedia(
        leg=found["leg"],
        remote=(str(remote[0]), int(remote[1])) if remote else None,
        audio=found.get("audio"),
        telephone_event=found.get("telephone_event"),
    )


def _position(position: Position | None) -> Json | None:
    return asdict(position) if position else None


def _report(report: PlayReport) -> Json:
    return {**asdict(report), "received": _position(report.received)}


def _happening(happening: Happening) -> Json:
    found: Json = {"what": happening.what, "call": happening.call, "leg": happening.leg}
    if happening.report:
        found["report"] = _report(happening.report)
    if happening.digit:
        found |= {"digit": happening.digit, "duration_ms": happening.duration_ms}
    return found
