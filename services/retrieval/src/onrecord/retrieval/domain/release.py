"""What a call's facts say about releasing its audio: which purposes, which stored units."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onrecord.retrieval.domain.call import TimelineFact


@dataclass(frozen=True)
class Unit:
    """One stored unit as `recording.stored` lists it."""

    leg: str
    epoch: int
    k: int
    object_key: str
    sha256: str
    key_ref: str


def purposes_told(timeline: Iterable[TimelineFact]) -> frozenset[str]:
    """The purposes that every party who was given notice was told of.

    A purpose that only one side knows of is none for which both may be listened to.
    """
    told: dict[str, set[str]] = {}
    for fact in timeline:
        if fact.type == "notice.given":
            fields = json.loads(fact.fields_json)
            told.setdefault(fields["party"], set()).update(fields["purposes"])
    return frozenset(set.intersection(*told.values())) if told else frozenset()


def stored_units(timeline: Sequence[TimelineFact]) -> tuple[Unit, ...]:
    """Every unit that is in the object store, each once, in the order kept within each leg."""
    units = {
        row["object_key"]: Unit(
            leg=row["leg"],
            epoch=row["epoch"],
            k=row["k"],
            object_key=row["object_key"],
            sha256=row["sha256"],
            key_ref=row["key_ref"],
        )
        for fact in timeline
        if fact.type == "recording.stored"
        for row in json.loads(fact.fields_json)["units"]
    }
    return tuple(sorted(units.values(), key=lambda unit: (unit.leg, unit.epoch, unit.k)))
