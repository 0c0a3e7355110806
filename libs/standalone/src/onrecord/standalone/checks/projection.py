"""The check of what was made of the log for searching: it must equal the log's own fold (I6)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from onrecord.ledger.canonical import CanonicalEntry
from onrecord.ledger.instant import format_time
from onrecord.standalone.checks.observed import Broken, Observed

_MOMENTS = {
    "call.started": "started_at",
    "call.answered": "answered_at",
    "call.ended": "ended_at",
}
_NAMED = {
    "call.started": {"kind": "kind"},
    "call.ended": {"cause": "end_cause", "sip_code": "sip_code"},
}
_VERDICT = {"verdict": "", "causes": [], "rule": "", "kept_seconds": {}, "weakest_grade": ""}


def projection_equals_fold(seen: Observed) -> str:
    """The index has every fact of the call, once and in order, and its summary is theirs."""
    facts = [e.entry for e in seen.entries if e.stream == f"call/{seen.call}"]
    if seen.projection is None:
        raise Broken("the index does not know the call")
    found = dict(seen.projection)
    timeline = [_shown(fact) for fact in found.pop("timeline")]
    expected = [_fact(entry) for entry in facts]
    if timeline != expected:
        odd = [name for name, _ in zip(_names(timeline), expected, strict=False)]
        raise Broken(f"the timeline is {odd}, the log has {_names(expected)}")
    for name, value in _summary(facts).items():
        if found.get(name) != value:
            raise Broken(f"{name} is {found.get(name)!r} in the index, {value!r} in the log")
    return f"{len(timeline)} facts and their summary"


def _names(facts: Sequence[dict[str, Any]]) -> list[str]:
    return [fact["event_id"] for fact in facts]


def _shown(fact: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in fact.items() if name != "fields_json"}
    return {**rest, "sealed": list(fact["sealed"]), "fields": json.loads(fact["fields_json"])}


def _fact(entry: CanonicalEntry) -> dict[str, Any]:
    return {
        "index": entry.index,
        "seq": entry.seq,
        "event_id": entry.event_id,
        "type": entry.type,
        "time": format_time(entry.time),
        "recorded_at": format_time(entry.recorded_at),
        "fields": dict(entry.fields),
        "sealed": sorted(entry.sealed),
    }


def _summary(facts: Sequence[CanonicalEntry]) -> dict[str, Any]:
    """What the facts say by themselves, written without retrieval's code."""
    summary: dict[str, Any] = {"last_seq": len(facts) - 1}
    for entry in facts:
        if entry.type in _MOMENTS:
            summary[_MOMENTS[entry.type]] = format_time(entry.time)
        for field, name in _NAMED.get(entry.type, {}).items():
            if field in entry.fields:
                summary[name] = entry.fields[field]
        if entry.type in ("call.verdict", "call.verdict_amended"):
            given = {name: entry.fields.get(name) for name in _VERDICT}
            summary |= {name: value or _VERDICT[name] for name, value in given.items()}
    return summary
