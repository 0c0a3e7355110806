"""The manifest beside the audio tells whether the log was changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from onrecord.ledger.instant import format_time
from onrecord.ledger.permit import Permit, Position, encode
from onrecord.standalone.checks.manifest import manifest_fits
from onrecord.standalone.checks.observed import Broken, Observed
from unit.standalone.observed_call import BEGAN, CALL, Draft, Spoil, observed_call

GAP = {"leg": "caller", "cause": "network", "packets": 1}


def with_manifest(spoil: Spoil | None = None) -> Observed:
    """A call whose manifest was written before a fact of it was spoilt."""
    written: dict[str, Any] = {}

    def facts(draft: Draft) -> None:
        issued = draft.fact("permit.issued")
        for leg in issued["legs"]:
            if leg.get("first_kept"):
                leg["first_kept"]["timestamp"] = 160
        # The permit is the fact of index 3, whose time is so many seconds after the beginning.
        at = BEGAN + timedelta(seconds=3)
        permit = Permit(
            issued["permit_id"],
            CALL,
            {
                leg["leg"]: Position(**leg["first_kept"]) if leg.get("first_kept") else None
                for leg in issued["legs"]
            },
            ("caller", "agent"),
            "uk/1",
            tuple(issued["relied_on"]),
            "node",
            at,
            at + timedelta(seconds=30),
            "k",
        )
        payload = encode(permit)
        issued |= {
            "pack": "uk",
            "pack_version": "1",
            "media_node": "node",
            "not_after": format_time(permit.not_after),
            "payload_sha256": hashlib.sha256(payload).hexdigest(),
        }
        draft.facts.insert(-3, ("recording.gap", dict(GAP)))
        stored = draft.fact("recording.stored")
        stored["manifest_key"] = f"{CALL}/manifest"
        written["units"] = json.loads(json.dumps(stored["units"]))
        written["gaps"] = [GAP]
        written["permits"] = [{"payload": payload.decode(), "opened_at": ""}]
        if spoil:
            spoil(draft)

    seen = observed_call(None, facts)
    return replace(seen, objects={**seen.objects, f"{CALL}/manifest": json.dumps(written).encode()})


def test_a_manifest_of_the_log_fits() -> None:
    """Its units, gaps and permits are the log's."""
    assert manifest_fits(with_manifest()) == "4 units, 1 gaps, 1 permits"


def _no_gap(draft: Draft) -> None:
    draft.facts = [fact for fact in draft.facts if fact[0] != "recording.gap"]


def _longer_unit(draft: Draft) -> None:
    draft.fact("recording.stored")["units"][0]["frames"] += 1


def _earlier_position(draft: Draft) -> None:
    draft.fact("permit.issued")["legs"][0]["first_kept"]["sequence"] -= 5


def _other_evidence(draft: Draft) -> None:
    draft.fact("permit.issued")["relied_on"] = ["another"]


def _forged_permit(draft: Draft) -> None:
    draft.fact("permit.issued")["payload_sha256"] = "0" * 64


def _other_permit(draft: Draft) -> None:
    draft.fact("recording.started")["permit_id"] = f"{CALL}:p1"


@pytest.mark.parametrize(
    "spoil",
    [_no_gap, _longer_unit, _earlier_position, _other_evidence, _forged_permit, _other_permit],
)
def test_a_fact_that_was_changed_does_not_fit(spoil: Callable[[Draft], None]) -> None:
    """The log was rewritten, leaf and all; what stands beside the audio was not."""
    with pytest.raises(Broken):
        manifest_fits(with_manifest(spoil))
