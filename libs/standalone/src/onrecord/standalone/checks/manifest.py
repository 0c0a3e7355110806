"""The check of a call's manifest: what stands beside the audio says what the log says.

The manifest was written by the recorder, the log by the ledger, and the permits in it were signed
before either: a fact that is changed or taken out of the log afterwards differs from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from onrecord.ledger.canonical import CanonicalEntry
from onrecord.ledger.instant import format_time
from onrecord.ledger.permit import Position, decode
from onrecord.standalone.checks.observed import Broken, Observed

Fields = Mapping[str, Any]


def manifest_fits(seen: Observed) -> str:
    """Units, gaps and permits of the manifest are those of the log."""
    stored = seen.of_type("recording.stored")
    keys = [entry.fields["manifest_key"] for entry in stored if entry.fields.get("manifest_key")]
    if not keys:
        return "the call has no manifest"
    if keys[-1] not in seen.objects:
        raise Broken(f"no object {keys[-1]}")
    manifest = json.loads(seen.objects[keys[-1]])
    _same("units", manifest["units"], (unit for e in stored for unit in e.fields["units"]))
    _same("gaps", manifest["gaps"], (gap.fields for gap in seen.of_type("recording.gap")))
    issued = {entry.fields["permit_id"]: entry for entry in seen.of_type("permit.issued")}
    used = {_permit(one["payload"].encode(), issued) for one in manifest["permits"]}
    opened = seen.of_type("recording.started", "recording.resumed")
    if used != {entry.fields["permit_id"] for entry in opened}:
        raise Broken(f"the manifest has the permits {sorted(used)}, the log says others")
    return f"{len(manifest['units'])} units, {len(manifest['gaps'])} gaps, {len(used)} permits"


def _same(what: str, kept: Iterable[Fields], logged: Iterable[Fields]) -> None:
    if _sorted(kept) != _sorted(logged):
        raise Broken(f"the manifest has other {what} than the log")


def _sorted(found: Iterable[Fields]) -> list[str]:
    present = ({k: v for k, v in one.items() if v is not None} for one in found)
    return sorted(json.dumps(one, sort_keys=True) for one in present)


def _permit(payload: bytes, issued: Mapping[str, CanonicalEntry]) -> str:
    """The id of a permit that says what its entry says."""
    permit = decode(payload)
    entry = issued.get(permit.permit_id)
    if entry is None or entry.fields["payload_sha256"] != hashlib.sha256(payload).hexdigest():
        raise Broken(f"{permit.permit_id} is not the permit that was issued")
    said, fields = permit.legs, entry.fields
    legs = {leg["leg"]: leg.get("first_kept") for leg in fields["legs"]}
    same = (
        permit.call == entry.call
        and permit.issued_at == entry.time
        and format_time(permit.not_after) == fields["not_after"]
        and permit.audience == fields["media_node"]
        and permit.pack == f"{fields['pack']}/{fields['pack_version']}"
        and permit.entries == tuple(fields["relied_on"])
        and permit.parties == tuple(fields["parties"])
        and said == {leg: Position(**first) if first else None for leg, first in legs.items()}
    )
    if not same:
        raise Broken(f"entry {entry.index} says another thing than the permit that was signed")
    return permit.permit_id
