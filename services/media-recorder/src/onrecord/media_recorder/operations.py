"""What the door can ask for, call by call: open, play, record, pause, stop, close.

Starting is gated, stopping is local: pause, stop and close act on mover and gate at once, whatever
else is down.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from onrecord.contracts.event import format_time
from onrecord.ledger.errors import PermitError
from onrecord.ledger.permit import Permit, SignedPermit, check_first_use, verify
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.mover import MoverClient
from onrecord.media_recorder.domain.gate import State
from onrecord.media_recorder.domain.prompt import FRAME_SAMPLES, BadPrompt, frames
from onrecord.media_recorder.listing import Actor, started, stopped
from onrecord.media_recorder.mover.control import Json
from onrecord.media_recorder.mover.engine import Bridge
from onrecord.media_recorder.recorder import Recorder
from onrecord.media_recorder.recording import CallRecording, LegCodec, OpenPermit
from onrecord.media_recorder.succession import Succession, first_tag, flows, tag_of
from onrecord.platform.clock import monotonic, utc_now
from onrecord.platform.errors import (
    Denied,
    InvalidInput,
    NotFound,
    Refused,
    Unavailable,
)
from onrecord.platform.telemetry import get_logger, traceparent

log = get_logger()
PLAY_GRACE: Final = 2.0
# Refusals that a permit for this recorder and call, used in time, would not have met.
_DENIED = frozenset({"bad_signature", "unknown_key", "malformed", "other_call", "other_audience"})


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg as the door names it; None where signalling does not know yet."""

    name: str
    remote: tuple[str, int] | None
    codec: LegCodec | None


class Operations:
    """The door's requests, carried out. Errors are those of `onrecord.platform.errors`."""

    def __init__(
        self, recorder: Recorder, succession: Succession, public_key: Ed25519PublicKey, node: str
    ) -> None:
        """Permits are checked against `public_key` and must be meant for `node`."""
        self.leases: dict[str, float] = {}
        self._recorder = recorder
        self._succession = succession
        self._public_key = public_key
        self._node = node
        self._locks: dict[str, asyncio.Lock] = {}

    async def open(
        self, call: str, legs: Sequence[Leg], bridge: Bridge, notice_legs: Sequence[str]
    ) -> tuple[str, dict[str, int]]:
        """Reserve an address for each leg that has none; give the host and every leg's port."""
        mover = self._mover()
        codecs = {leg.name: leg.codec or LegCodec() for leg in legs}
        known = self._recorder.calls.get(call)
        described = await mover.command(
            "open",
            call=call,
            tag=first_tag(codecs, traceparent()),
            legs=[_leg(leg) for leg in legs],
            bridge=bridge,
            notice_legs=list(notice_legs),
        )
        if known is None:
            begun = self._succession.begin(call, codecs, described, traceparent())
            self._recorder.add(begun)
        elif added := codecs.keys() - known.codecs.keys():
            known.codecs |= {leg: codecs[leg] for leg in added}
            known.flows |= flows(described)
            self._recorder.add(known)
            await self.update(call, (), None)  # whoever succeeds us must know these legs
        self.leases[call] = monotonic()
        ports = {leg: found["port"] for leg, found in described["legs"].items()}
        return str(mover.about["host"]), ports

    async def update(self, call: str, legs: Sequence[Leg], bridge: Bridge | None) -> None:
        """Take what became known of legs, and a new rule for joining them."""
        found = self._call(call)
        for leg in legs:
            if leg.codec is not None:
                found.codecs[leg.name] = leg.codec
        # One at a time with Record, whose permit a tag made meanwhile would not contain.
        async with self._locks.setdefault(call, asyncio.Lock()):
            await self._mover().command(
                "update",
                call=call,
                legs=[_leg(leg) for leg in legs],
                bridge=bridge,
                tag=self._tag(found),
            )

    async def play(self, call: str, notice: str, leg: str, wav: bytes, sha256: bytes) -> Json:
        """Play a prompt to its end and give the report; the same notice is played only once."""
        if hashlib.sha256(wav).digest() != sha256:
            raise InvalidInput("prompt_damaged", "prompt_sha256 is not the SHA-256 of prompt_wav")
        codec = self._call(call).codecs.get(leg)
        if codec is None:
            raise InvalidInput("unknown_leg", f"call {call} has no leg {leg}")
        try:
            payload = frames(wav, codec.name) if codec.name else b""
        except BadPrompt as error:
            raise InvalidInput(error.reason, str(error)) from error
        waiting = self._recorder.played(call, notice, leg)
        answer = await self._mover().command(
            "play",
            call=call,
            notice=notice,
            leg=leg,
            payload=b64encode(payload).decode(),
            payload_type=-1 if codec.payload_type is None else codec.payload_type,
            frame_octets=FRAME_SAMPLES,
            samples=FRAME_SAMPLES,
            is_notice=True,
        )
        if answer["report"] is not None:
            report: Json = answer["report"]
            return report
        seconds = len(payload) / codec.clock_rate + PLAY_GRACE
        try:
            # Shielded: the prompt runs on, and its report is kept, when the caller goes away.
            return await asyncio.wait_for(asyncio.shield(waiting), seconds)
        except TimeoutError:
            raise Unavailable("play_late", f"no report of {notice} after {seconds:g} s") from None

    async def record(self, signed: SignedPermit, keys: Mapping[int, bytes]) -> None:
        """Open the gate by a permit, once; the same permit again changes nothing."""
        try:
            permit = verify(signed, self._public_key)
        except PermitError as error:
            raise _refusal(error) from error
        async with self._locks.setdefault(permit.call, asyncio.Lock()):
            await self._record(permit, signed, keys)

    async def _record(
        self, permit: Permit, signed: SignedPermit, keys: Mapping[int, bytes]
    ) -> None:
        call = self._recorder.calls.get(permit.call)
        if call is None:
            raise Refused("call_not_open", f"call {permit.call} is not open here")
        current = call.open_permit
        if call.gate.state is State.OPEN and current is not None and call.shutting is None:
            if current.permit.permit_id == permit.permit_id:
                current.keys |= keys
                return
            raise Refused("gate_open", "the gate is open by another permit")
        if permit.permit_id in call.used_permits:
            raise Refused("permit_used", f"{permit.permit_id} opened the gate before")
        if call.gate.state is State.ENDED or call.failed:
            raise Refused("recording_ended", "the recording was stopped for good")
        try:
            check_first_use(permit, call=call.call, node=self._node, now=utc_now())
        except PermitError as error:
            raise _refusal(error) from error
        await self._open_gate(call, OpenPermit(permit, signed, dict(keys)))

    async def _open_gate(self, call: CallRecording, opened: OpenPermit) -> None:
        permit, resumed = opened.permit, bool(call.used_permits)
        persons = [leg for leg in permit.legs if leg in call.codecs]
        call.used_permits.add(permit.permit_id)
        tag = tag_of(call, State.OPEN, opened.signed)
        try:
            # The mover keeps the permit first: a writer that dies after this has a successor
            # that opens the gate all the same, and finds the frames still in the ring.
            await self._mover().command(
                "capture", call=call.call, legs=persons, on=True, bridge_now=True, tag=tag
            )
        except (Refused, Unavailable):
            call.used_permits.discard(permit.permit_id)
            raise
        if call.ending is not None or call.gate.state is State.ENDED:
            raise Refused("recording_ended", "the call was closed or stopped meanwhile")
        call.stop_cause = ""
        call.epoch, call.k = self._succession.new_epoch(call.call), 0
        opened_at = format_time(utc_now())
        line = call_log.permit_line(opened.signed.payload, opened.signed.signature, opened_at)
        self._note(call, call_log.trace_line(call.traceparent), line)
        if call.failed:
            raise Unavailable("spool_unwritable", "the permit could not be written down")
        call.open(opened)
        self._recorder.record_fact(call.call, started(permit, resumed=resumed), permit.permit_id)
        self._recorder.touch(call)

    async def told(self, call: str) -> dict[str, Json | None]:
        """Drop what waited until now; give how far each leg had come, None for nothing yet.

        Whoever asks for a permit on the strength of it has these positions in its facts.
        """
        found = self._call(call)
        (listed,) = (await self._mover().command("list", call=call))["calls"]
        self._recorder.drain()
        found.gate.forget(listed["head"])
        return {leg: one["received"] for leg, one in listed["legs"].items()}

    async def pause(self, call: str, actor: Actor) -> None:
        """Shut the gate for now: nothing that arrives from this moment on is kept."""
        await self._shut(self._call(call), State.PAUSED, actor)

    async def stop(self, call: str, actor: Actor) -> None:
        """Shut the gate for good; the parties go on talking."""
        await self._shut(self._call(call), State.ENDED, actor)

    async def close(self, call: str, cause: str = "call_ended") -> None:
        """End relay and recording; storing goes on by itself. A call not known is closed."""
        found = self._recorder.calls.get(call)
        self.leases.pop(call, None)
        self._locks.pop(call, None)
        if found is None or found.ending is not None or found.handed_over:
            return
        described: Json = {}
        found.stop_cause = cause
        at = await self._cut(found, "close", described, tag=self._tag(found))
        self._note_stop(found, State.ENDED, Actor(cause, "system"), described)
        self._recorder.end(found, cause, at)
        self._recorder.watchers.end(call)

    def renew(self, calls: Sequence[str]) -> list[str]:
        """Take note that signalling still has these calls; give those that are not known."""
        now = monotonic()
        for call in calls:
            if call in self._recorder.calls:
                self.leases[call] = now
        return [call for call in calls if call not in self._recorder.calls]

    def known(self, call: str) -> str:
        """Give the call back if it is open here; raises `NotFound`."""
        return self._call(call).call

    async def _shut(self, call: CallRecording, state: State, actor: Actor) -> None:
        if call.gate.state in {state, State.ENDED} or call.shutting is not None:
            return
        signed = call.open_permit.signed if call.open_permit else None
        legs = list(call.codecs)
        described: Json = {}
        call.stop_cause = actor.cause
        tag = tag_of(call, state, signed)
        at = await self._cut(call, "capture", described, legs=legs, on=False, tag=tag)
        self._note_stop(call, state, actor, described)
        self._recorder.shut(call, state, at)

    async def _cut(
        self,
        call: CallRecording,
        command: str,
        described: Json,
        **arguments: object,
    ) -> int:
        """Have the mover capture no more, and give the ring position of that instant."""
        try:
            answer = await self._mover().command(command, call=call.call, **arguments)
        except (Refused, Unavailable) as error:
            log.warning("stopped without the mover", call=call.call, why=str(error))
            return self._recorder.head
        described |= answer
        return int(answer["cut"])

    def _note_stop(self, call: CallRecording, state: State, actor: Actor, described: Json) -> None:
        """Write the fact that an open gate was shut."""
        opened = call.open_permit
        if opened is None or call.gate.state is not State.OPEN or call.shutting is not None:
            return
        permit = opened.permit
        legs = described.get("legs", {})
        received = {leg: legs.get(leg, {}).get("received") for leg in permit.legs}
        fact = stopped(permit, actor, received, paused=state is State.PAUSED)
        line = call_log.pause_line(permit.permit_id, actor.cause, format_time(utc_now()))
        self._note(call, line)
        self._recorder.record_fact(call.call, fact, permit.permit_id)

    def _note(self, call: CallRecording, *lines: Json) -> None:
        try:
            call_log.append(call.log_path, list(lines))
        except OSError as error:
            self._recorder.fail(call, "spool_unwritable", str(error))

    def _mover(self) -> MoverClient:
        if self._recorder.mover is None:
            raise Unavailable("mover_missing", "the media mover is not attached")
        return self._recorder.mover

    def _call(self, call: str) -> CallRecording:
        found = self._recorder.calls.get(call)
        if found is None:
            raise NotFound("call_not_open", f"call {call} is not open here")
        return found

    def _tag(self, call: CallRecording) -> str:
        signed = call.open_permit.signed if call.open_permit else None
        return tag_of(call, call.shutting or call.gate.state, signed)


def _refusal(error: PermitError) -> Denied | Refused:
    kind = Denied if error.reason in _DENIED else Refused
    return kind(error.reason, error.detail)


def _leg(leg: Leg) -> Json:
    found: Json = {"leg": leg.name}
    if leg.remote is not None:
        found["remote"] = list(leg.remote)
    if leg.codec is not None:
        found["audio"] = leg.codec.payload_type
        found["telephone_event"] = leg.codec.telephone_event
    return found
