"""A recorded call as a checker sees it, made without any service, with every promise kept."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from onrecord.contracts.registry import ce_type
from onrecord.contracts.topics import topic_of
from onrecord.ledger.canonical import CanonicalEntry, canonical_json, encode_entry
from onrecord.ledger.merkle import leaf_hash
from onrecord.rtp import g711
from onrecord.rtp.storage.sealing import seal
from onrecord.rtp.storage.unit import Frame, UnitHeader, encode_unit
from onrecord.softphone.media import MediaFrame
from onrecord.standalone.checks.observed import (
    LoggedEntry,
    Observed,
    PhoneTape,
    Published,
    Release,
)

CALL = "c1"
BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)
BEGAN_NS = int(BEGAN.timestamp()) * 1_000_000_000
STEP_NS = 20_000_000
NOTICE_FRAMES, TOTAL_FRAMES = 50, 100
EPOCH = 1763899200000
NUMBER = "02079460123"
KEY = bytes(32)


@dataclass
class Draft:
    """What a test may spoil before it is put together: frames first, then facts."""

    sent: dict[str, list[MediaFrame]] = field(default_factory=dict)
    heard: dict[str, list[MediaFrame]] = field(default_factory=dict)
    kept: dict[str, list[Frame]] = field(default_factory=dict)
    facts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def fact(self, event_type: str) -> dict[str, Any]:
        """The fields of the first fact of a type."""
        return next(fields for found, fields in self.facts if found == event_type)


Spoil = Callable[[Draft], None]


def observed_call(audio: Spoil | None = None, facts: Spoil | None = None) -> Observed:
    """A call with both notices, the permit and one unit a leg; spoilt by the test where it says."""
    draft = _frames()
    if audio:
        audio(draft)
    objects = {_key(leg): _object(leg, frames) for leg, frames in draft.kept.items()}
    _facts(draft, objects)
    if facts:
        facts(draft)
    entries = _entries(draft)
    return Observed(
        CALL,
        tuple((entry.index, entry.stream, entry.seq) for entry in entries),
        tuple(entries),
        tuple(_published(number, entry) for number, entry in enumerate(entries)),
        objects,
        {f"{CALL}:p0/{number}": KEY for number in range(4)},
        (),
        {
            party: PhoneTape(
                tuple(draft.sent[party]),
                tuple(draft.heard[party]),
                BEGAN_NS + TOTAL_FRAMES * STEP_NS,
            )
            for party in ("caller", "agent")
        },
        Release(_wav(draft), BEGAN_NS + 60_000_000_000, "j.doe", "quality"),
        (NUMBER,),
    )


def _frames() -> Draft:
    draft = Draft()
    source = np.random.default_rng(7)
    for number, party in enumerate(("caller", "agent")):
        # Sequence numbers that wrap within the call.
        draft.sent[party] = [
            MediaFrame(
                BEGAN_NS + at * STEP_NS,
                10 + number,
                (65500 + at) % 65536,
                1000 + at * 160,
                0,
                source.bytes(160),
                speech=True,
            )
            for at in range(TOTAL_FRAMES)
        ]
        draft.heard[party] = [
            MediaFrame(
                BEGAN_NS + at * STEP_NS, 20 + number, 65520 + at, at * 160, 0, source.bytes(160)
            )
            for at in range(NOTICE_FRAMES)
        ]
        draft.kept[party] = [
            Frame(f.time_ns + 1_000_000, f.ssrc, 65500 + at, f.timestamp, 0, f.payload)
            for at, f in enumerate(draft.sent[party])
            if at >= NOTICE_FRAMES
        ]
        draft.kept[f"service-{party}"] = [Frame(*f[:6]) for f in draft.heard[party]]
        # On the wire the numbers are of 16 bits.
        draft.heard[party] = [f._replace(sequence=f.sequence % 65536) for f in draft.heard[party]]
    return draft


def _key(leg: str) -> str:
    return f"{CALL}/{leg}/{EPOCH}-0"


def _object(leg: str, frames: list[Frame]) -> bytes:
    header = UnitHeader(CALL, leg, EPOCH, 0, "PCMU", 8000, f"{CALL}:p0", "2026-11-23T12:00:00Z")
    plain = encode_unit(header, frames)
    return seal(plain, KEY, _key(leg).encode(), salt=bytes(32), nonce_prefix=bytes(7))


def _facts(draft: Draft, objects: dict[str, bytes]) -> None:
    told = [(f"notice.given:{party}:0", party) for party in ("caller", "agent")]
    draft.facts = [("call.started", {"kind": "recorded"})]
    for number, (_, party) in enumerate(told):
        given = {"party": party, "purposes": ["quality"], "span": _span(draft, party, number)}
        draft.facts.append(("notice.given", given))
    legs = [
        {"leg": p, "first_kept": {"ssrc": 10 + n, "sequence": 65500 + NOTICE_FRAMES}}
        for n, p in enumerate(("caller", "agent"))
    ]
    permit = {
        "permit_id": f"{CALL}:p0",
        "parties": ["caller", "agent"],
        "relied_on": [f"{CALL}:{event}" for event, _ in told],
        "legs": [*legs, {"leg": "service-caller"}, {"leg": "service-agent"}],
    }
    units = [_listed(leg, number, draft, objects) for number, leg in enumerate(draft.kept)]
    stored = {"units": units, "final": True, "unit_count": len(units)}
    draft.facts += [
        ("permit.issued", permit),
        ("recording.started", {"permit_id": f"{CALL}:p0"}),
        ("call.ended", {"gate": "opened", "answered": True}),
        ("recording.stored", stored),
        ("call.verdict", {"verdict": "recorded"}),
        ("access.granted", {"purpose": "quality"}),
    ]


def _span(draft: Draft, party: str, number: int) -> dict[str, Any]:
    data = b"".join(frame.payload for frame in draft.kept[f"service-{party}"])
    return {
        "leg": f"service-{party}",
        "ssrc": 20 + number,
        "first_sequence": 65520,
        "last_sequence": 65520 + NOTICE_FRAMES - 1,
        "payload_sha256": hashlib.sha256(data).hexdigest(),
    }


def _listed(leg: str, number: int, draft: Draft, objects: dict[str, bytes]) -> dict[str, Any]:
    body = objects[_key(leg)]
    return {
        "leg": leg,
        "epoch": EPOCH,
        "k": 0,
        "object_key": _key(leg),
        "octets": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "key_ref": f"{CALL}:p0/{number}",
        "frames": len(draft.kept[leg]),
    }


def _entries(draft: Draft) -> list[LoggedEntry]:
    entries: list[LoggedEntry] = []
    for index, (event_type, fields) in enumerate(draft.facts):
        kind = "recording" if event_type == "access.granted" else "call"
        stream = f"{kind}/{CALL}"
        seq = sum(entry.stream == stream for entry in entries)
        name = f"{CALL}:{event_type}"
        if event_type == "notice.given":
            name += f":{fields['party']}:0"
        sealed = {"person": bytes(40)} if kind == "recording" else {}
        entry = CanonicalEntry(
            index,
            name,
            event_type,
            stream,
            seq,
            CALL,
            BEGAN + timedelta(seconds=index),
            BEGAN + timedelta(seconds=index),
            fields,
            {field_name: bytes(32) for field_name in sealed},
        )
        canonical = encode_entry(entry)
        entries.append(
            LoggedEntry(
                index,
                name,
                stream,
                seq,
                canonical,
                sealed,
                leaf_hash(canonical),
                CALL,
                event_type,
            )
        )
    return entries


def _published(number: int, logged: LoggedEntry) -> Published:
    sealed = {name: base64.b64encode(v).decode() for name, v in logged.sealed.items()}
    value = {"canonical": json.loads(logged.canonical), "sealed": sealed}
    headers = {
        "ce_id": logged.event_id,
        "ce_type": ce_type(logged.entry.type),
        "stream": logged.stream,
        "seq": str(logged.seq),
    }
    return Published(
        topic_of(logged.stream),
        0,
        number,
        CALL.encode(),
        canonical_json(value),
        {name: text.encode() for name, text in headers.items()},
    )


def _wav(draft: Draft) -> bytes:
    """Each party's channel: its notice, then what it said."""
    channels = []
    for party in ("caller", "agent"):
        frames = [*draft.kept[f"service-{party}"], *draft.kept[party]]
        channels.append(np.concatenate([g711.decode("PCMU", f.payload) for f in frames]))
    length = max(len(channel) for channel in channels)
    padded = [np.pad(channel, (0, length - len(channel))) for channel in channels]
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.stack(padded, axis=1).astype("<i2").tobytes())
    return out.getvalue()
