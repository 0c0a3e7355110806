"""The projection of `call/` streams: Call + Entry -> Call, and nothing else decides the index.

Whoever applies it keeps invariant I6: an entry counts only as the next one of its stream, so that
the result is the fold of the log for any duplication or rewind of what is delivered.
"""

from __future__ import annotations

import json
from dataclasses import replace

from onrecord.contracts.entry import Entry
from onrecord.retrieval.domain.call import Call, TimelineFact

MAX_IDENTIFIERS = 64


def fold(call: Call, entry: Entry) -> Call:
    """The summary after one more fact. Raises ValueError unless it is the stream's next."""
    if entry.stream != f"call/{call.call}" or entry.seq != call.last_seq + 1:
        raise ValueError(f"{entry.stream} seq {entry.seq} does not follow {call.last_seq}")
    # A call whose own beginning is missing must still be found: its first fact dates it.
    call = replace(call, last_seq=entry.seq, started_at=call.started_at or entry.time)
    fields = entry.fields
    match entry.type:
        case "call.started":
            return replace(
                call,
                started_at=entry.time,
                kind=fields.get("kind", ""),
                direction=fields.get("direction", ""),
                line=fields.get("line", ""),
                business_unit=fields.get("business_unit", ""),
                identifiers=_known_as(call, fields.get("ucid"), fields.get("sip_call_id_hash")),
            )
        case "session.described":
            values = (one["value"] for one in fields.get("correlation", ()))
            return replace(call, identifiers=_known_as(call, *values))
        case "call.answered":
            return replace(call, answered_at=entry.time)
        case "call.ended":
            return replace(
                call,
                ended_at=entry.time,
                end_cause=fields.get("cause", ""),
                sip_code=fields.get("sip_code", 0),
            )
        case "call.verdict" | "call.verdict_amended":
            return replace(
                call,
                verdict=fields["verdict"],
                causes=tuple(fields.get("causes", ())),
                rule=fields.get("rule", ""),
                kept_seconds=dict(fields.get("kept_seconds", {})),
                weakest_grade=fields.get("weakest_grade") or "",
            )
    return call


def _known_as(call: Call, *found: str | None) -> tuple[str, ...]:
    """The identifiers and those that were found, each once; bounded, as peers send them."""
    return tuple(dict.fromkeys((*call.identifiers, *filter(None, found))))[:MAX_IDENTIFIERS]


def timeline_fact(entry: Entry) -> TimelineFact:
    """The entry as the timeline shows it."""
    return TimelineFact(
        index=entry.index,
        seq=entry.seq,
        event_id=entry.event_id,
        type=entry.type,
        time=entry.time,
        recorded_at=entry.recorded_at,
        fields_json=json.dumps(entry.fields, ensure_ascii=False, separators=(",", ":")),
        sealed=tuple(sorted(entry.commitments)),
    )
