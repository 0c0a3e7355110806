"""What must hold once a fault is over, read from stores, ledger, Kafka and the phones alone."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from faults.outcomes import Outcome
from faults.trials import Trial
from onrecord.platform.journal import Journal, read_key
from onrecord.standalone.checks import WHATEVER_HAPPENED, Check, run_checks
from onrecord.standalone.checks.log import access_before_release
from onrecord.standalone.checks.observed import Broken, Observed, Release
from onrecord.standalone.checks.reader import DATABASE, INDEX, observe_all
from processes import until
from pymongo import AsyncMongoClient
from stack import CALLER_NUMBER, Laboratory

DRAIN_SECONDS = 60.0
"""L1: so long after the last fault everything must have drained by itself."""

_VERDICTS = frozenset({"call.verdict", "call.verdict_amended"})
_OF_ANSWERED_CALLS = ("one_verdict", "verdict_fits")


class Proof:
    """Examines calls of one stack; remembers its log, whose bytes must never change (I4)."""

    def __init__(self) -> None:
        self._leaves: dict[int, bytes] = {}

    async def drained(self, lab: Laboratory, trials: Sequence[Trial]) -> None:
        """Wait for verdicts, an empty spool and an index that has caught up (L1)."""
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(lab.stack.mongo_uri)
        try:
            for trial in trials:
                await until(lambda trial=trial: _drained(client, lab, trial.call), DRAIN_SECONDS)  # type: ignore[misc]
        except TimeoutError:
            raise AssertionError(f"not drained: {trial}") from None
        finally:
            await client.close()

    async def examine(
        self,
        lab: Laboratory,
        trials: Sequence[Trial],
        expected: Mapping[str, Collection[Outcome]],
        in_spool: Mapping[str, Collection[str]],
    ) -> None:
        """Compare each call with its outcomes and run every check; report all that is broken.

        `expected` holds the outcomes by call, `in_spool` the units that were seen in the spool.
        """
        await self.drained(lab, trials)
        release = await _listen(lab, trials)
        seen = await observe_all(
            lab.stack.places, {trial.call: trial.tapes for trial in trials}, (CALLER_NUMBER,)
        )
        found = []
        for trial in trials:
            call = seen[trial.call]
            if release is not None and release[0] == trial.call:
                call = replace(call, release=release[1])
            problems = [
                *_outcome(call, expected[trial.call]),
                *_checks(call),
                *_audio_outside_the_record(call, lab.stack.data / "objects"),
                *_not_listed(call, in_spool.get(trial.call, ())),
            ]
            found += [f"{trial.step.name} {trial.call}: {problem}" for problem in problems]
        found += await self._log_unchanged(lab)
        assert not found, "\n".join(found)

    async def _log_unchanged(self, lab: Laboratory) -> list[str]:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(lab.stack.mongo_uri)
        try:
            leaves = {
                int(entry["_id"]): hashlib.sha256(entry["canonical"]).digest()
                async for entry in client[DATABASE].entries.find({}, {"canonical": 1})
            }
        finally:
            await client.close()
        changed = [n for n, leaf in self._leaves.items() if leaves.get(n) != leaf]
        self._leaves = leaves
        return [f"entries {changed} are no longer what they were"] if changed else []


def facts_waiting(data: Path) -> dict[str, int]:
    """How many facts wait in each journal of a stack that was stopped, where any do."""
    key = read_key(data / "keys" / "journal.key")
    found = {}
    for path in data.glob("services/*/facts.journal"):
        journal = Journal(path, key)
        if len(journal):
            found[path.parent.name] = len(journal)
        journal.close()
    return found


async def _listen(lab: Laboratory, trials: Sequence[Trial]) -> tuple[str, Release] | None:
    """Play the first call of which anything is kept; None when nothing is."""
    found = {call.call_id: call.verdict for call in await lab.door.search("", 500)}
    for trial in trials:
        if found.get(trial.call) in ("recorded", "partly_recorded"):
            release = await lab.listen(trial.call)
            assert release is not None, f"{trial.call} cannot be played"
            return trial.call, release
    return None


async def _drained(client: AsyncMongoClient[dict[str, Any]], lab: Laboratory, call: str) -> bool:
    entries = client[DATABASE].entries
    ordered = entries.find({"stream": f"call/{call}"}, {"type": 1}).sort("seq", 1)
    types = [entry["type"] async for entry in ordered]
    if "call.answered" in types and not _VERDICTS.intersection(types):
        return False
    # What was stored after the verdict is in the amended one.
    if _VERDICTS.intersection(types) and "recording.stored" in _after_verdict(types):
        return False
    if (lab.stack.data / "spool" / call).exists():
        return False
    last = await entries.count_documents({"stream": f"call/{call}"}) - 1
    known = await client[INDEX].calls.find_one({"_id": call}, {"last_seq": 1})
    return known is not None and known["last_seq"] == last


def _after_verdict(types: Sequence[str]) -> Sequence[str]:
    last = max(place for place, name in enumerate(types) if name in _VERDICTS)
    return types[last + 1 :]


def _outcome(seen: Observed, expected: Collection[Outcome]) -> list[str]:
    verdict = next(reversed(seen.of_type(*_VERDICTS)), None)
    if any(outcome.is_met(verdict) for outcome in expected):
        return []
    ended = [dict(entry.fields) for entry in seen.of_type("call.ended")]
    said = "no verdict" if verdict is None else dict(verdict.fields)
    return [f"{said}, expected {', '.join(map(str, expected))}; call.ended {ended}"]


def _checks(seen: Observed) -> list[str]:
    checks: dict[str, Check] = dict(WHATEVER_HAPPENED)
    if not seen.of_type("call.answered"):
        for name in _OF_ANSWERED_CALLS:
            del checks[name]
    if seen.release is not None:
        checks["access_before_release"] = access_before_release
    return [f"{f.name}: {f.text}" for f in run_checks(seen, checks) if not f.holds]


def _audio_outside_the_record(seen: Observed, objects: Path) -> list[str]:
    """Objects that no entry names: audio that was put away and not accounted for.

    What begins with a dot is no object: a writer died before it gave the file its name.
    """
    found = {
        str(path.relative_to(objects))
        for path in (objects / seen.call).rglob("[!.]*")
        if path.is_file()
    }
    return (
        [f"objects without an entry: {sorted(odd)}"] if (odd := found - set(seen.objects)) else []
    )


def _not_listed(seen: Observed, in_spool: Collection[str]) -> list[str]:
    """Units that had audio in the spool and are in no entry now (I3)."""
    try:
        listed = {unit.listed["object_key"] for unit in seen.units}
    except Broken as broken:
        return [str(broken)]
    gone = set(in_spool) - listed
    return [f"gone from the spool: {sorted(gone)}"] if gone else []
