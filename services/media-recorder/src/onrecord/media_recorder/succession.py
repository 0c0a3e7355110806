"""How a writer takes over from one that died: from the mover's tag, the ring and the spool."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from onrecord.contracts.event import format_time
from onrecord.ledger.permit import SignedPermit, verify
from onrecord.media_recorder.adapters.call_log import CallLog, append, permit_line, trace_line
from onrecord.media_recorder.adapters.spool import SpoolDamaged, left_over, read_open
from onrecord.media_recorder.domain.gate import SERVICE, Gate, OpenPermit, State
from onrecord.media_recorder.mover.control import Json
from onrecord.media_recorder.recording import CallRecording, LegCodec
from onrecord.media_recorder.ring import Ring
from onrecord.platform.clock import monotonic, utc_now
from onrecord.platform.telemetry import get_logger

log = get_logger()


@dataclass(frozen=True, slots=True)
class Succession:
    """Makes calls anew: from nothing, or as an earlier writer left them."""

    spool: Path
    public_key: Ed25519PublicKey

    def begin(
        self, call: str, codecs: dict[str, LegCodec], described: Json, traceparent: str
    ) -> CallRecording:
        """Make a call that the mover has just opened, or had opened already."""
        epoch = self._first_epoch(call)
        return CallRecording(
            call,
            self.spool,
            Gate(),
            codecs,
            flows(described),
            epoch,
            traceparent=traceparent,
            # Whoever takes a call over gives its signalling a whole lease to come back.
            renewed=monotonic(),
        )

    def adopt(self, described: Json, ring: Ring) -> CallRecording:
        """Make a call as an earlier writer left it: its gate, its keys' numbers, how far it got."""
        tag = json.loads(described["tag"])
        codecs = {leg: LegCodec(**found) for leg, found in tag["codecs"].items()}
        call = self.begin(described["call"], codecs, described, tag["traceparent"])
        gate = call.gate
        gate.state = State.ENDED if described["closed"] else State(tag["gate"])
        gate.used, gate.cause = set(tag["used"]), tag["stop_cause"]
        if tag["permit"]:
            signed = SignedPermit(
                tag["permit"]["payload"].encode(), bytes.fromhex(tag["permit"]["signature"])
            )
            permit = verify(signed, self.public_key)
            next_key = self._next_key(call.call, permit.permit_id)
            gate.permit = OpenPermit(permit, signed, {}, next_key)
            if not described["closed"]:
                self._keep_permit(call, signed)
        if gate.state is not State.OPEN:
            gate.cut = ring.head if described["cut"] is None else described["cut"]
        call.skip = {flow: ring.decided(flow) for flow in call.flows}
        for leg, position in self._written(call.call).items():
            flow = next(number for number, name in call.flows.items() if name == leg)
            call.skip[flow] = max(call.skip[flow], position + 1)
        return call

    def _first_epoch(self, call: str) -> int:
        """Give an epoch above every earlier writer's of this call: its clock may have gone back."""
        earlier = [epoch for _, epoch, _ in CallLog.read(self.spool / call / "log").units]
        if (self.spool / call).is_dir():
            earlier += [name.epoch for name in left_over(self.spool, call)]
        return next_epoch(max(earlier, default=0))

    def end_cause(self, call: str, otherwise: str = "recorder_lost") -> str:
        """Say why a call ended that this writer did not see the end of."""
        return CallLog.read(self.spool / call / "log").closed or otherwise

    def traceparent(self, call: str) -> str:
        """Name the span that opened a call of which only the spool is left."""
        return CallLog.read(self.spool / call / "log").traceparent

    def _keep_permit(self, call: CallRecording, signed: SignedPermit) -> None:
        """Write the permit into the call's log, if its writer died before it could."""
        payload = signed.payload.decode()
        known = CallLog.read(call.log_path).permits
        if all(found["payload"] != payload for found in known):
            line = permit_line(signed.payload, signed.signature, format_time(utc_now()))
            append(call.log_path, [trace_line(call.traceparent), line])

    def _written(self, call: str) -> dict[str, int]:
        """Give the last ring position that stands in a spool file, per leg."""
        found: dict[str, int] = {}
        if not (self.spool / call).is_dir():
            return found
        for name in left_over(self.spool, call):
            path = name.path(self.spool, "open")
            try:
                frames = read_open(path).frames if path.exists() else ()
            except SpoolDamaged as error:
                log.error("spool file unreadable", unit=name.object_key, why=str(error))
                continue
            if frames:
                found[name.leg] = max(found.get(name.leg, 0), frames[-1][0])
        return found

    def _next_key(self, call: str, permit_id: str) -> int:
        """Give the first key number of a permit that no unit has used."""
        refs = [
            sealed.unit.key_ref for sealed in CallLog.read(self.spool / call / "log").units.values()
        ]
        if (self.spool / call).is_dir():
            for name in left_over(self.spool, call):
                path = name.path(self.spool, "open")
                try:
                    refs += [read_open(path).header.key_ref] if path.exists() else []
                except SpoolDamaged as error:
                    # Cut within its header, by a kill or a full disk: no frame has used its key.
                    log.error("spool file unreadable", unit=name.object_key, why=str(error))
        used = [ref.rpartition("/") for ref in refs]
        return max((int(number) + 1 for of, _, number in used if of == permit_id), default=0)


def flows(described: Json) -> dict[int, str]:
    """Name the ring's flows of a call: what each leg sends, and what is played to it."""
    own = {found["flow"]: leg for leg, found in described["legs"].items()}
    played = {found["service_flow"]: SERVICE + leg for leg, found in described["legs"].items()}
    return own | played


def next_epoch(earlier: int) -> int:
    """Give the epoch of units that are begun now, above an earlier one of the same call."""
    return max(int(utc_now().timestamp() * 1000), earlier + 1)


def tag_of(call: CallRecording) -> str:
    """Write down what a successor must know of a call; the mover keeps it."""
    tag, gate = _tag(call.codecs, call.traceparent), call.gate
    if (permit := gate.asked or gate.permit) is not None:
        signed = permit.signed
        tag["permit"] = {"payload": signed.payload.decode(), "signature": signed.signature.hex()}
    tag |= {"gate": gate.told, "used": sorted(gate.used), "stop_cause": gate.cause}
    return json.dumps(tag)


def first_tag(codecs: Mapping[str, LegCodec], traceparent: str) -> str:
    """Write down what is known of a call that is being opened."""
    return json.dumps(_tag(codecs, traceparent))


def _tag(codecs: Mapping[str, LegCodec], traceparent: str) -> Json:
    return {
        "codecs": {leg: asdict(codec) for leg, codec in codecs.items()},
        "gate": State.WAITING,
        "used": [],
        "permit": None,
        "stop_cause": "",
        "traceparent": traceparent,
    }
