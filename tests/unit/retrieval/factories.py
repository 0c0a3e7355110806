"""What the retrieval tests are made of: entries of a call, frames of a leg."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from onrecord.contracts.entry import Entry
from onrecord.contracts.event import format_time
from onrecord.rtp.storage.unit import Frame

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOON_NS = int(NOON.timestamp()) * 1_000_000_000
FRAME_NS = 20_000_000


def moment(seconds: float) -> str:
    """So many seconds after noon, as facts have it."""
    return format_time(NOON + timedelta(seconds=seconds))


def an_entry(call: str, seq: int, event_type: str, /, **fields: Any) -> Entry:
    """The seq-th entry of a call, `seq` seconds after noon."""
    return Entry(
        index=seq,
        seq=seq,
        stream=f"call/{call}",
        call=call,
        event_id=f"{call}:{event_type}:{seq}",
        type=event_type,
        time=moment(seq),
        recorded_at=moment(seq + 0.001),
        fields=fields,
        commitments={"caller_number": bytes(32)} if event_type == "call.started" else {},
    )


def a_unit_row(call: str, leg: str, k: int = 0, **changes: Any) -> dict[str, Any]:
    """What `recording.stored` says of one unit."""
    row = {
        "leg": leg,
        "epoch": 5,
        "k": k,
        "object_key": f"{call}/{leg}/5-{k}",
        "sha256": "ab" * 32,
        "key_ref": f"{call}:p0/{leg}-{k}",
    }
    return row | changes


def a_recorded_call(
    call: str = "c1", rows: Sequence[dict[str, Any]] | None = None, start: int = 0
) -> list[Entry]:
    """The facts of a call of which the caller's leg was kept."""
    rows = [a_unit_row(call, "caller")] if rows is None else rows
    told = {"purposes": ["quality", "training"], "grade": "B"}
    facts: list[tuple[str, dict[str, Any]]] = [
        (
            "call.started",
            {
                "direction": "inbound",
                "kind": "recorded",
                "line": "main",
                "business_unit": "default",
            },
        ),
        ("policy.decided", {"pack": "uk"}),
        ("call.answered", {"legs": []}),
        ("notice.given", {"party": "caller", **told}),
        ("notice.given", {"party": "agent", **told}),
        ("recording.started", {"permit_id": f"{call}:p0"}),
        ("call.ended", {"cause": "caller_hung_up", "sip_code": 200}),
        ("recording.stored", {"units": rows, "final": True}),
        (
            "call.verdict",
            {
                "verdict": "recorded",
                "causes": [],
                "kept_seconds": {"caller": 57.0, "agent": 56.5},
                "weakest_grade": "B",
            },
        ),
    ]
    return [an_entry(call, start + n, kind, **fields) for n, (kind, fields) in enumerate(facts)]


def frames(
    payloads: Sequence[bytes],
    *,
    at: int = 0,
    ssrc: int = 7,
    sequence: int = 100,
    timestamp: int = 4_294_967_200,
    payload_type: int = 0,
) -> list[Frame]:
    """Frames that follow each other, the first arriving `at` milliseconds after noon.

    The timestamps wrap early, so that every test passes over the edge.
    """
    made, samples = [], 0
    for n, payload in enumerate(payloads):
        made.append(
            Frame(
                arrival_ns=NOON_NS + at * 1_000_000 + n * FRAME_NS,
                ssrc=ssrc,
                sequence=sequence + n,
                timestamp=(timestamp + samples) % 2**32,
                payload_type=payload_type,
                payload=payload,
            )
        )
        samples += len(payload)
    return made
