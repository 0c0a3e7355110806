"""The recorders' doors: a call's media commands, sent to the recorder that has the call."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address

import grpc.aio
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger_pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2_grpc as rpc
from onrecord.platform.errors import Unavailable
from onrecord.signalling.adapters.retry import ask
from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.negotiation import voice_of
from onrecord.sip.sdp import Codec, Media

_BRIDGES: dict[do.Bridge, pb.Bridge.ValueType] = {
    "now": pb.BRIDGE_NOW,
    "after_notices": pb.BRIDGE_AFTER_NOTICES,
    "on_permit": pb.BRIDGE_ON_PERMIT,
    "unchanged": pb.BRIDGE_UNSPECIFIED,
}


class Recorders:
    """`Media` by address: `Open` goes to the configured recorder, all else where Open said."""

    def __init__(
        self, channel: Callable[[str], grpc.aio.Channel], address: str, seconds: float
    ) -> None:
        """Take at most `seconds` for each command, half of them for new tries."""
        self._channel = channel
        self._address = address
        self._seconds = seconds

    async def open(self, call_id: str, effect: do.OpenMedia) -> tuple[str, on.MediaOpened]:
        """Reserve media; return the recorder's address with its answer.

        Raises grpc.aio.AioRpcError, or Unavailable for an answer without both legs.
        """
        request = pb.OpenRequest(
            call_id=call_id,
            legs=[_leg("caller", effect.caller), pb.Leg(name="agent")],
            bridge=_BRIDGES[effect.bridge],
            notice_legs=effect.notice_legs,
        )
        reply = await ask(self._media("").Open, request, seconds=self._seconds, retry=self._retry)
        ours = {leg.name: (leg.host, leg.port) for leg in reply.legs}
        if not {"caller", "agent"} <= ours.keys():
            raise Unavailable("media_unavailable", "the recorder opened fewer legs than asked")
        opened = on.MediaOpened(reply.media_node, ours["caller"], ours["agent"])
        return reply.media_address or self._address, opened

    async def open_streams(
        self, address: str, call_id: str, effect: do.OpenStreams
    ) -> tuple[str, on.StreamsOpened]:
        """Reserve or update a recording session's streams; `address` is empty the first time.

        Returns the recorder's address with its answer. Raises grpc.aio.AioRpcError, or Unavailable
        for an answer without all of them.
        """
        legs = [_stream(stream) for stream in effect.streams]
        request = pb.OpenRequest(call_id=call_id, legs=legs, bridge=pb.BRIDGE_NEVER)
        media = self._media(address)
        reply = await ask(media.Open, request, seconds=self._seconds, retry=self._retry)
        places = {leg.name: (leg.host, leg.port) for leg in reply.legs}
        if not {leg.name for leg in legs} <= places.keys():
            raise Unavailable("media_unavailable", "the recorder opened fewer streams than asked")
        if address:
            update = pb.UpdateRequest(call_id=call_id, legs=legs)
            await ask(media.Update, update, seconds=self._seconds, retry=self._retry)
        return reply.media_address or self._address, on.StreamsOpened(reply.media_node, places)

    async def told(self, address: str, call_id: str) -> tuple[Mapping[str, object], ...]:
        """Say that the parties were told just now; how far each stream has come, as facts have it.

        Raises grpc.aio.AioRpcError.
        """
        request = pb.ToldRequest(call_id=call_id)
        reply = await ask(self._media(address).Told, request, seconds=self._seconds)
        return tuple(
            {
                "leg": leg.name,
                "position": {
                    "ssrc": leg.received.ssrc,
                    "sequence": leg.received.sequence,
                    "timestamp": leg.received.timestamp,
                },
            }
            for leg in reply.legs
            if leg.HasField("received")
        )

    async def update(self, address: str, call_id: str, effect: do.UpdateMedia) -> None:
        """Tell both far ends and the bridge. Raises grpc.aio.AioRpcError."""
        known: tuple[tuple[on.Party, Media | None], ...] = (
            ("caller", effect.caller),
            ("agent", effect.agent),
        )
        request = pb.UpdateRequest(
            call_id=call_id,
            legs=[_leg(party, media) for party, media in known if media is not None],
            bridge=_BRIDGES[effect.bridge],
        )
        await ask(self._media(address).Update, request, seconds=self._seconds, retry=self._retry)

    async def record(self, address: str, grant: object) -> None:
        """Open the gate. Raises grpc.aio.AioRpcError; TypeError when `grant` is no grant."""
        if not isinstance(grant, ledger_pb.Granted):
            raise TypeError("a grant comes from the ledger")
        request = pb.RecordRequest(permit=grant.permit, unit_keys=grant.unit_keys)
        await ask(self._media(address).Record, request, seconds=self._seconds, retry=self._retry)

    async def pause(self, address: str, call_id: str, effect: do.PauseMedia) -> None:
        """Close the gate for now. Raises grpc.aio.AioRpcError."""
        request = pb.PauseRequest(
            call_id=call_id, cause=effect.cause, actor_role=effect.actor_role, actor=effect.actor
        )
        await ask(self._media(address).Pause, request, seconds=self._seconds, retry=self._retry)

    async def stop(self, address: str, call_id: str, cause: str) -> None:
        """Close the gate for good. Raises grpc.aio.AioRpcError."""
        request = pb.StopRequest(call_id=call_id, cause=cause, actor_role="system")
        await ask(self._media(address).Stop, request, seconds=self._seconds, retry=self._retry)

    async def close(self, address: str, call_id: str) -> None:
        """End the call's media. Raises grpc.aio.AioRpcError; the lease lapses in any case."""
        request = pb.CloseRequest(call_id=call_id)
        await ask(self._media(address).Close, request, seconds=self._seconds, retry=self._retry)

    async def renew(self, address: str, call_ids: Sequence[str]) -> list[str]:
        """Renew leases; return the calls that the recorder does not know."""
        request = pb.RenewRequest(call_ids=call_ids)
        reply = await ask(self._media(address).Renew, request, seconds=self._seconds)
        return list(reply.unknown)

    async def failures(self, address: str, call_id: str) -> AsyncIterator[str]:
        """Yield causes of failed recording until the call is closed or the stream breaks."""
        async for happening in self._media(address).Watch(pb.WatchRequest(call_id=call_id)):
            if happening.HasField("failed"):
                yield happening.failed.cause

    @property
    def _retry(self) -> float:
        return self._seconds / 2

    def _media(self, address: str) -> rpc.MediaAsyncStub:
        return rpc.MediaStub(self._channel(address or self._address))


def _leg(party: on.Party, media: Media) -> pb.Leg:
    leg = pb.Leg(name=party, remote_host=media.address, remote_port=media.port)
    return _with_codecs(leg, media.codecs, voice_of(media))


def _stream(stream: do.Stream) -> pb.Leg:
    """A stream whose description names no IPv4 address is recognised by its packets alone."""
    leg = pb.Leg(name=stream.leg)
    with contextlib.suppress(AddressValueError):
        leg.remote_host = str(IPv4Address(stream.address))
        leg.remote_port = stream.port
    return _with_codecs(leg, stream.codecs, stream.codecs[0])


def _with_codecs(leg: pb.Leg, codecs: Sequence[Codec], voice: Codec | None) -> pb.Leg:
    for codec in codecs:
        told = pb.Codec(
            payload_type=codec.payload_type, name=codec.name, clock_rate=codec.clock_rate
        )
        if codec == voice:
            leg.audio.CopyFrom(told)
        elif codec.name == "telephone-event":
            leg.telephone_event.CopyFrom(told)
    return leg
