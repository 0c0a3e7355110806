"""What the door can ask for, call by call: open, play, record, pause, stop, close.

Starting is gated, stopping is local: pause, stop and close act on mover and gate at once, whatever
else is down.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from onrecord.contracts.event import format_time
from onrecord.ledger.errors import PermitError
from onrecord.ledger.permit import Permit, SignedPermit, check_first_use, verify
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.mover import MoverClient
from onrecord.media_recorder.domain.coverage import Loss
from onrecord.media_recorder.domain.gate import OpenPermit, State
from onrecord.media_recorder.domain.prompt import FRAME_SAMPLES, BadPrompt, frames
from onrecord.media_recorder.listing import Actor, started, stopped
from onrecord.media_recorder.mover.call import Bridge
from onrecord.media_recorder.mover.control import Json
from onrecord.media_recorder.recorder import Recorder
from onrecord.media_recorder.recording import CallRecording, LegCodec
from onrecord.media_recorder.succession import Succession, first_tag, flows, next_epoch, tag_of
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
        self._recorder = recorder
        self._succession = succession
        self._public_key = public_key
        self._node = node
        self._working: set[asyncio.Task[None]] = set()

    async def open(
        self, call: str, legs: Sequence[Leg], bridge: Bridge, notice_legs: Sequence[str]
    ) -> tuple[str, dict[str, int]]:
        """Reserve an address for each leg that has none; give the host and every leg's port.

        The same call again is the same call, until it is closed: `Refused` from then on.
        """
        mover = self._mover()
        self._check_not_closed(call)
        codecs = {leg.name: leg.codec or LegCodec() for leg in legs}
        described = await mover.command(
            "open",
            call=call,
            tag=first_tag(codecs, traceparent()),
            legs=[_leg(leg) for leg in legs],
            bridge=bridge,
            notice_legs=list(notice_legs),
        )
        if self._recorder.mover is not mover:
            raise Unavailable("mover_missing", "the media mover was lost meanwhile")
        # Looked up only now: another Open of the same call may have been answered first.
        known = self._recorder.calls.get(call)
        if known is None:
            known = self._succession.begin(call, codecs, described, traceparent())
            self._recorder.add(known)
        elif added := codecs.keys() - known.codecs.keys():
            known.codecs |= {leg: codecs[leg] for leg in added}
            known.flows |= flows(described)
            self._recorder.add(known)
            await self.update(call, (), None)  # whoever succeeds us must know these legs
        known.renewed = monotonic()
        ports = {leg: found["port"] for leg, found in described["legs"].items()}
        return str(mover.about["host"]), ports

    async def update(self, call: str, legs: Sequence[Leg], bridge: Bridge | None) -> None:
        """Take what became known of legs, and a new rule for joining them."""
        found = self._call(call)
        if odd := {leg.name for leg in legs} - found.codecs.keys():
            raise InvalidInput("unknown_leg", f"call {call} has no leg {', '.join(sorted(odd))}")
        found.codecs |= {leg.name: leg.codec for leg in legs if leg.codec is not None}
        known = [_leg(leg) for leg in legs]
        await self._mover().command(
            "update", call=call, legs=known, bridge=bridge, tag=tag_of(found)
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
        await self._whole(self._record(permit, signed, keys))

    async def _record(
        self, permit: Permit, signed: SignedPermit, keys: Mapping[int, bytes]
    ) -> None:
        call = self._recorder.calls.get(permit.call)
        if call is None:
            raise Refused("call_not_open", f"call {permit.call} is not open here")
        if not call.gate.is_open_by(permit.permit_id):
            try:
                check_first_use(permit, call=call.call, node=self._node, now=utc_now())
            except PermitError as error:
                raise _refusal(error) from error
            await self._open_gate(call, OpenPermit(permit, signed, dict(keys)))
        if (opened := call.open_permit) is not None:
            for number, key in keys.items():
                # A number is one key for ever: units may have been written with it.
                opened.keys.setdefault(number, key)

    async def _open_gate(self, call: CallRecording, opening: OpenPermit) -> None:
        """Open the gate once the mover has kept the permit.

        A writer that dies after that has a successor that opens it all the same, and finds the
        frames still in the ring.
        """
        if call.gate.state is State.PAUSED and not self._recorder.settle(call):
            raise Unavailable("still_writing", "what was before the pause is being written")
        permit_id, resumed = opening.permit.permit_id, call.open_permit is not None
        call.gate.ask(opening)
        try:
            await self._recorder.tell(call)
        except (Refused, Unavailable):
            if call.gate.withdraw(opening):
                # It may have heard all the same, and a successor would go by what it heard.
                await self._cut(call)
            raise
        if call.gate.asked is not opening:
            if call.gate.is_open_by(permit_id):
                return
            raise Refused("recording_ended", "the call was paused, stopped or closed meanwhile")
        call.epoch, call.k = next_epoch(call.epoch), 0
        signed, opened_at = opening.signed, format_time(utc_now())
        line = call_log.permit_line(signed.payload, signed.signature, opened_at)
        self._note(call, call_log.trace_line(call.traceparent), line)
        if call.failed:
            raise Unavailable("spool_unwritable", "the permit could not be written down")
        call.open(opening)
        self._recorder.record_fact(call.call, started(opening.permit, resumed=resumed), permit_id)
        self._recorder.settle(call)

    async def told(self, call: str) -> dict[str, Json | None]:
        """Drop what waited until now; give how far each leg had come, None for nothing yet.

        Whoever asks for a permit on the strength of it has these positions in its facts.
        """
        described = await self._mover().command("told", call=self._call(call).call)
        return {leg: one["received"] for leg, one in described["legs"].items()}

    async def pause(self, call: str, actor: Actor) -> None:
        """Shut the gate for now: nothing that arrives from this moment on is kept."""
        await self._whole(self._shut(self._call(call), State.PAUSED, actor))

    async def stop(self, call: str, actor: Actor) -> None:
        """Shut the gate for good; the parties go on talking."""
        await self._whole(self._shut(self._call(call), State.ENDED, actor))

    async def objected(self, call: str) -> None:
        """Stop for an objection that the ledger has; a call that is not open here has ended."""
        if call in self._recorder.calls:
            await self.stop(call, Actor("objection", "system"))

    async def close(self, call: str, cause: str = "call_ended") -> None:
        """End relay and recording; storing goes on by itself. A call not known is closed."""
        found = self._recorder.calls.get(call)
        if found is not None and found.ending is None:
            await self._whole(self._close(found, cause))

    async def _close(self, call: CallRecording, cause: str) -> None:
        call.ending = cause
        await self._shut(call, State.ENDED, Actor(cause, "system"))
        self._recorder.watchers.end(call.call)

    def renew(self, calls: Sequence[str]) -> list[str]:
        """Take note that signalling still has these calls; give those that are not known."""
        now = monotonic()
        for call in calls:
            if (found := self._recorder.calls.get(call)) is not None:
                found.renewed = now
        return [call for call in calls if call not in self._recorder.calls]

    def known(self, call: str) -> str:
        """Give the call back if it is open here; raises `NotFound`."""
        return self._call(call).call

    async def _shut(self, call: CallRecording, state: State, actor: Actor) -> None:
        """Decide at once, tell the mover, and write the fact if the gate was open."""
        was_open, permit = call.gate.shut(state, actor.cause), call.open_permit
        described = await self._cut(call)
        if was_open and permit is not None:
            legs = described.get("legs", {})
            received = {leg: legs.get(leg, {}).get("received") for leg in permit.permit.legs}
            fact = stopped(permit.permit, actor, received, paused=state is State.PAUSED)
            permit_id, at = permit.permit.permit_id, format_time(utc_now())
            lost = [
                call_log.loss_line(found["leg"], Loss(**found["loss"]))
                for found in described.get("lost", ())
            ]
            self._note(call, *lost, call_log.pause_line(permit_id, actor.cause, at, received))
            self._recorder.record_fact(call.call, fact, permit_id)
        self._recorder.settle(call)

    async def _cut(self, call: CallRecording) -> Json:
        """Have the mover capture no more; nothing is kept from the place in the ring it names."""
        try:
            described = await self._recorder.tell(call)
        except (Refused, Unavailable) as error:
            log.warning("stopped without the mover", call=call.call, why=str(error))
            described = {"cut": self._recorder.head}
        call.gate.cut_at(described["cut"])
        return described

    async def _whole(self, work: Coroutine[None, None, None]) -> None:
        """Do this to its end, also when whoever asked goes away half-way: half of it is nothing."""
        task = asyncio.create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        await asyncio.shield(task)

    def _check_not_closed(self, call: str) -> None:
        """Storing removes all that the spool has of a call: it must not be opened under its hands.

        A call of which only the spool is left is one that an earlier writer did not see the end of.
        """
        found = self._recorder.calls.get(call)
        if found is None:
            is_closed = (self._succession.spool / call).exists()
        else:
            is_closed = found.ending is not None
        if is_closed:
            raise Refused("call_closed", f"call {call} was closed and is being stored")

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
