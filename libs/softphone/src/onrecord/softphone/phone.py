"""A telephone in software: calls and is called over real SIP and RTP, as a script says."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType

from onrecord.sip import sdp
from onrecord.sip.aio import Security, SipSockets
from onrecord.sip.client_leg import Invitation
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.errors import SipError
from onrecord.sip.events import (
    Answered,
    Bye,
    Cancelled,
    Ended,
    Event,
    IncomingInvite,
    LegId,
    ReinviteAnswered,
    Reinvited,
    ReinviteRejected,
    Rejected,
    Ringing,
    TimedOut,
)
from onrecord.sip.headers import Address
from onrecord.sip.hop import Hop, Transport
from onrecord.sip.sdp import Codec, LocalAudio
from onrecord.sip.uri import SipUri, bracketed
from onrecord.softphone.call import PhoneCall
from onrecord.softphone.media import MediaSession

CODECS = {"PCMU": Codec(0, "PCMU", 8000), "PCMA": Codec(8, "PCMA", 8000)}
TELEPHONE_EVENT = Codec(101, "telephone-event", 8000, fmtp="0-15")
MAX_WAITING_CALLS = 1000

ENDINGS: dict[type[Event], str] = {
    Bye: "far_side_hung_up",
    Cancelled: "cancelled",
    Ended: "hung_up",
    TimedOut: "timed_out",
}

_ANSWERS = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}
"""RFC 3264 §6.1, of a phone that talks as much as it may."""

Behaviour = Callable[[PhoneCall], Awaitable[None]]
"""What a phone does with each call that comes in; see `onrecord.softphone.behaviour`."""


class Softphone:
    """One phone at one address; an async context, and every call of it ends with that.

    Without a `behaviour` the calls that come in wait for `next_call`. `codecs` are offered and
    accepted in this order. Raises OSError on entering when the address is taken.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str = "softphone",
        codecs: tuple[str, ...] = ("PCMU", "PCMA"),
        behaviour: Behaviour | None = None,
        transport: Transport = "udp",
        security: Security | None = None,
        seed: random.Random | None = None,
    ) -> None:
        """`security` is needed for TLS; `seed` decides the RTP numbers, random where not given."""
        self.address = (host, port)
        self.calls: list[PhoneCall] = []
        self._user = user
        self._codecs = tuple(CODECS[name] for name in codecs)
        self._behaviour = behaviour
        self._seed = seed or random.Random()  # noqa: S311 - RTP numbers of a test phone
        self._live: dict[LegId, PhoneCall] = {}
        self._offers: dict[LegId, sdp.SessionDescription] = {}
        self._locals: dict[LegId, LocalAudio] = {}
        self._waiting: asyncio.Queue[PhoneCall] = asyncio.Queue(MAX_WAITING_CALLS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport = transport
        here = Hop(transport, host, port)
        self._sockets = SipSockets([here], self._handle, security=security)
        self._endpoint = Endpoint(here, tokens=_token)

    async def __aenter__(self) -> Softphone:
        """Listen."""
        (bound,) = await self._sockets.open()
        self.address = (bound.host, bound.port)
        self._endpoint = Endpoint(bound, tokens=_token)
        self._sockets.run(self._endpoint)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up whatever still goes on and give the ports back; waits for nobody."""
        for call in list(self._live.values()):
            call.hang_up()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for call in self.calls:
            await call.media.close()
        self._sockets.close()

    async def call(
        self,
        number: str,
        server: tuple[str, int],
        *,
        caller: str = "",
        name: str = "",
        codec: str = "",
    ) -> PhoneCall:
        """Dial a number at a SIP server; the call is returned at once, before any answer.

        `caller` is the number shown, `name` the display name; `codec` restricts the offer to one.
        """
        codecs = (CODECS[codec],) if codec else self._codecs
        media = MediaSession(codecs[0].name, self._seed)
        local = LocalAudio(
            self.address[0],
            await media.open(self.address[0]),
            (*codecs, TELEPHONE_EVENT),
            self._seed.getrandbits(31),
        )
        invitation = Invitation(
            SipUri(bracketed(server[0]), number, server[1], self._uri_parameters),
            Address(SipUri(bracketed(self.address[0]), caller or self._user), name),
            sdp.build_offer(local),
        )
        leg = self._endpoint.invite(invitation, self._now())
        call = self._add(PhoneCall(self, leg, number, media), local)
        self._sockets.flush()
        return call

    async def next_call(self, timeout: float) -> PhoneCall:
        """The next call that came in, where no behaviour takes them. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            return await self._waiting.get()

    # For the calls

    def command(self, act: Callable[[Endpoint, float], None]) -> None:
        """Do something with the endpoint, then send what it has to say."""
        act(self._endpoint, self._now())
        self._sockets.flush()

    def answer(self, call: PhoneCall) -> None:
        """Accept the call's offer with the first codec that we share; 488 without one."""
        offer, local = self._offers[call.leg], self._locals[call.leg]
        agreed = self._agree(call, offer, local)
        if agreed is None:
            call.reject(488)
            return
        answer = sdp.build_answer(offer, agreed)
        self.command(lambda endpoint, now: endpoint.answer(call.leg, answer, now))
        call.is_up()

    def offer(self, call: PhoneCall, direction: str) -> None:
        """Offer what was agreed, in another direction."""
        local = self._locals[call.leg]
        local = replace(local, direction=direction, version=local.version + 1)
        self._locals[call.leg] = local
        body = sdp.build_offer(local)
        self.command(lambda endpoint, now: endpoint.reinvite(call.leg, body, now))

    def forget(self, call: PhoneCall) -> None:
        """Release the media of a call that is over."""
        self._live.pop(call.leg, None)
        self._offers.pop(call.leg, None)
        self._locals.pop(call.leg, None)
        self._own(call.media.close())

    # What the endpoint says

    @property
    def _uri_parameters(self) -> tuple[tuple[str, str | None], ...]:
        return () if self._transport == "udp" else (("transport", self._transport),)

    def _handle(self, event: Event) -> None:
        if isinstance(event, IncomingInvite):
            self._own(self._take(event))
            return
        call = self._live.get(event.leg)
        if call is None:
            return
        match event:
            case Ringing():
                call.rings()
            case Answered(body=body):
                self._on_answer(call, body)
            case Reinvited(body=body):
                self._on_reinvite(call, body)
            case ReinviteAnswered():
                call.changed(200)
            case ReinviteRejected(status=status):
                call.changed(status)
            case Rejected(status=status):
                call.end("cancelled" if status == 487 else f"rejected {status}")
            case _ if type(event) in ENDINGS:
                call.end(ENDINGS[type(event)])

    def _on_answer(self, call: PhoneCall, body: bytes) -> None:
        try:
            agreed = self._agree(call, sdp.parse(body), self._locals[call.leg])
        except SipError:
            agreed = None
        if agreed is None:
            call.hang_up()
        else:
            call.is_up()

    def _on_reinvite(self, call: PhoneCall, body: bytes) -> None:
        local, now = self._locals[call.leg], self._now()
        try:
            offer = sdp.parse(body)
            agreed = self._agree(call, offer, local)
        except SipError:
            agreed = None
        if agreed is None:
            self._endpoint.reject(call.leg, 488, now)
        else:
            self._endpoint.answer(call.leg, sdp.build_answer(offer, agreed), now)

    async def _take(self, event: IncomingInvite) -> None:
        """A call came in: open its media, then let the behaviour or `next_call` have it."""
        try:
            offer = sdp.parse(event.request.body)
        except SipError:
            self.command(lambda endpoint, now: endpoint.reject(event.leg, 488, now))
            return
        media = MediaSession(self._codecs[0].name, self._seed)
        port = await media.open(self.address[0])
        local = LocalAudio(self.address[0], port, self._codecs, self._seed.getrandbits(31))
        call = PhoneCall(self, event.leg, event.request.uri.number, media)
        self._add(call, local)
        self._offers[event.leg] = offer
        if self._behaviour is None:
            self._waiting.put_nowait(call)
        else:
            await self._behaviour(call)

    def _agree(
        self, call: PhoneCall, remote: sdp.SessionDescription, local: LocalAudio
    ) -> LocalAudio | None:
        """Use what both sides can; our side of it, None where there is nothing."""
        media = remote.audio
        shared = sdp.usable_codecs(media, [codec.name for codec in self._codecs])
        if not shared:
            return None
        events = sdp.usable_codecs(media, [TELEPHONE_EVENT.name])[:1]
        call.media.agree(
            shared[0].name,
            shared[0].payload_type,
            events[0].payload_type if events else None,
            (media.address, media.port),
        )
        agreed = replace(
            local,
            codecs=(shared[0], *events),
            version=local.version + 1,
            direction=_ANSWERS[media.direction],
        )
        self._locals[call.leg] = agreed
        return agreed

    def _add(self, call: PhoneCall, local: LocalAudio) -> PhoneCall:
        self._live[call.leg] = call
        self._locals[call.leg] = local
        self.calls.append(call)
        return call

    def _own(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _token() -> str:
    return secrets.token_hex(8)
