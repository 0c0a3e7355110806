"""The Media door: protobuf in, operations out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from ipaddress import IPv4Address
from typing import Any, Final

import grpc.aio
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2_grpc as rpc
from onrecord.ledger.permit import STREAMS, SignedPermit
from onrecord.media_recorder.adapters.unit_keys import numbered
from onrecord.media_recorder.listing import Actor
from onrecord.media_recorder.mover.call import Bridge
from onrecord.media_recorder.mover.control import Json
from onrecord.media_recorder.operations import Leg, Operations
from onrecord.media_recorder.recording import LegCodec, utc_text
from onrecord.media_recorder.watching import News, Watchers
from onrecord.platform.errors import InvalidInput

Context = grpc.aio.ServicerContext[Any, Any]
PARTIES: Final = frozenset({"caller", "agent"})
_BRIDGES: Final = {
    pb.BRIDGE_NOW: Bridge.NOW,
    pb.BRIDGE_AFTER_NOTICES: Bridge.AFTER_NOTICES,
    pb.BRIDGE_ON_PERMIT: Bridge.ON_PERMIT,
    pb.BRIDGE_NEVER: Bridge.NEVER,
}
MAX_ID: Final = 128


class MediaServicer(rpc.MediaServicer):
    """Checks what came over the wire, then does it."""

    def __init__(self, operations: Operations, watchers: Watchers, node: str, address: str) -> None:
        """`node` and `address` (host:port of this door) are told to whoever opens a call."""
        self._operations = operations
        self._watchers = watchers
        self._node = node
        self._address = address

    async def Open(self, request: pb.OpenRequest, context: Context) -> pb.OpenResponse:  # noqa: N802
        """Reserve an address for each leg."""
        call = _call_id(request.call_id)
        legs = _legs(request.legs)
        if not legs:
            raise InvalidInput("no_legs", "Open needs at least one leg")
        bridge = _BRIDGES.get(request.bridge, Bridge.AFTER_NOTICES)
        if odd := set(request.notice_legs) - {leg.name for leg in legs}:
            raise InvalidInput("unknown_leg", f"notice_legs names {', '.join(sorted(odd))}")
        host, ports = await self._operations.open(call, legs, bridge, request.notice_legs)
        return pb.OpenResponse(
            legs=[pb.LegAddress(name=leg, host=host, port=port) for leg, port in ports.items()],
            media_address=self._address,
            media_node=self._node,
        )

    async def Update(self, request: pb.UpdateRequest, context: Context) -> pb.UpdateResponse:  # noqa: N802
        """Take what became known of legs."""
        bridge = _BRIDGES.get(request.bridge)
        await self._operations.update(_call_id(request.call_id), _legs(request.legs), bridge)
        return pb.UpdateResponse()

    async def Play(self, request: pb.PlayRequest, context: Context) -> pb.PlayResponse:  # noqa: N802
        """Play a prompt to its end."""
        report = await self._operations.play(
            _call_id(request.call_id),
            _text(request.notice_id, "notice_id"),
            request.leg,
            request.prompt_wav,
            request.prompt_sha256,
        )
        return pb.PlayResponse(report=_report(report))

    async def Record(self, request: pb.RecordRequest, context: Context) -> pb.RecordResponse:  # noqa: N802
        """Open the gate by a permit."""
        signed = SignedPermit(request.permit.payload, request.permit.signature)
        try:
            keys = numbered(request.unit_keys)
        except ValueError as error:
            raise InvalidInput("bad_key_ref", "key_ref is <permit id>/<number>") from error
        if any(len(key) != 32 for key in keys.values()):
            raise InvalidInput("bad_unit_key", "a unit key has 32 bytes")
        await self._operations.record(signed, keys)
        return pb.RecordResponse()

    async def Told(self, request: pb.ToldRequest, context: Context) -> pb.ToldResponse:  # noqa: N802
        """Drop what waits, and say how far each leg has come."""
        reached = await self._operations.told(_call_id(request.call_id))
        legs = [
            pb.ReceivedLeg(name=leg, received=ledger.Position(**received) if received else None)
            for leg, received in reached.items()
        ]
        return pb.ToldResponse(legs=legs)

    async def Pause(self, request: pb.PauseRequest, context: Context) -> pb.PauseResponse:  # noqa: N802
        """Shut the gate for now."""
        actor = Actor(request.cause or "other", request.actor_role, request.actor)
        await self._operations.pause(_call_id(request.call_id), actor)
        return pb.PauseResponse()

    async def Stop(self, request: pb.StopRequest, context: Context) -> pb.StopResponse:  # noqa: N802
        """Shut the gate for good."""
        actor = Actor(request.cause or "operator", request.actor_role, request.actor)
        await self._operations.stop(_call_id(request.call_id), actor)
        return pb.StopResponse()

    async def Close(self, request: pb.CloseRequest, context: Context) -> pb.CloseResponse:  # noqa: N802
        """End relay and recording."""
        await self._operations.close(_call_id(request.call_id))
        return pb.CloseResponse()

    async def Renew(self, request: pb.RenewRequest, context: Context) -> pb.RenewResponse:  # noqa: N802
        """Keep leases alive."""
        return pb.RenewResponse(unknown=self._operations.renew(list(request.call_ids)))

    async def Watch(  # noqa: N802
        self, request: pb.WatchRequest, context: Context
    ) -> AsyncIterator[pb.WatchResponse]:
        """Tell what happens on a call's media."""
        call = self._operations.known(_call_id(request.call_id))
        async for news in self._watchers.watch(call):
            yield _news(news)


def _call_id(text: str) -> str:
    """Check a call id: it becomes part of file names and object keys."""
    if not 0 < len(text) <= MAX_ID or not (text.isascii() and text.isalnum()):
        raise InvalidInput("bad_call_id", "a call id is letters and digits only")
    return text


def _text(text: str, name: str) -> str:
    if not 0 < len(text) <= MAX_ID:
        raise InvalidInput("bad_request", f"{name} has 1 to {MAX_ID} characters")
    return text


def _legs(found: Sequence[pb.Leg]) -> list[Leg]:
    names = [leg.name for leg in found]
    known = any(kind.issuperset(names) for kind in (PARTIES, frozenset(STREAMS)))
    if not known or len(set(names)) != len(names):
        raise InvalidInput("unknown_leg", f"legs are caller and agent, or {', '.join(STREAMS)}")
    return [_leg(leg) for leg in found]


def _leg(found: pb.Leg) -> Leg:
    remote, codec = None, None
    if found.remote_host:
        if not 1 <= found.remote_port <= 65535:
            raise InvalidInput("bad_port", f"{found.remote_port} is no UDP port")
        remote = _address(found.remote_host, found.remote_port)
    if found.HasField("audio"):
        event = found.HasField("telephone_event")
        codec = LegCodec(
            found.audio.name.upper(),
            found.audio.payload_type,
            found.audio.clock_rate or 8000,
            found.telephone_event.payload_type if event else None,
        )
        if codec.clock_rate != 8000 or not 0 <= found.audio.payload_type <= 127:
            raise InvalidInput("bad_codec", "audio is G.711 at 8 kHz with a payload type below 128")
    return Leg(found.name, remote, codec)


def _address(host: str, port: int) -> tuple[str, int] | None:
    """Check an address: a name would have to be looked up, which the mover cannot wait for."""
    try:
        found = IPv4Address(host)
    except ValueError:
        raise InvalidInput("bad_address", "remote_host must be an IPv4 address") from None
    # RFC 3264 §8.4: an address of zeros is an old way to say hold.
    return None if found.is_unspecified else (host, port)


def _report(report: Json) -> pb.PlayReport:
    received = report["received"]
    return pb.PlayReport(
        notice_id=report["notice"],
        leg=report["leg"],
        complete=report["complete"],
        reason=report["reason"],
        ssrc=report["ssrc"],
        first_sequence=report["first_sequence"],
        last_sequence=report["last_sequence"],
        packets=report["packets"],
        octets=report["octets"],
        payload_sha256=bytes.fromhex(report["payload_sha256"]),
        received=ledger.Position(**received) if received else None,
        started_at=utc_text(report["started_ns"]),
        ended_at=utc_text(report["ended_ns"]),
    )


def _news(news: News) -> pb.WatchResponse:
    match news.what:
        case "first_packet":
            return pb.WatchResponse(leg=news.leg, first_packet=pb.FirstPacket())
        case "dtmf":
            dtmf = pb.Dtmf(digit=news.digit, duration_ms=news.duration_ms)
            return pb.WatchResponse(leg=news.leg, dtmf=dtmf)
        case "rtp_timeout":
            silence = pb.RtpTimeout(seconds=news.seconds)
            return pb.WatchResponse(leg=news.leg, rtp_timeout=silence)
        case _:
            return pb.WatchResponse(leg=news.leg, failed=pb.Failed(cause=news.cause))
