"""`onrecord verify`: what is stored of the calls, checked against what onrecord promises.

It asks no service: it reads the log, the keys, the objects, the spool and the index themselves, as
whoever may read the database and the object store can. Nothing is released by it, so that it leaves
no access entry.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onrecord.ledger.errors import LedgerError
from onrecord.platform.errors import PlatformError
from onrecord.standalone.addresses import External
from onrecord.standalone.checks import Finding, checks_without_phones, run_checks
from onrecord.standalone.checks.log import intact, nothing_cut, without_gap
from onrecord.standalone.checks.observed import Broken, Log, Observed
from onrecord.standalone.checks.reader import Places, Stores, opened
from onrecord.standalone.endpoints import read_endpoints
from onrecord.standalone.errors import BadRequest, NotRunning
from onrecord.standalone.folder import DataFolder
from onrecord.standalone.naming import call_named
from onrecord.standalone.present import Printer
from pymongo.errors import PyMongoError

SETTLE_SECONDS = 10.0
"""How long retrieval may take to show what was entered; once for all calls of a run."""
_RETRY_SECONDS = 0.2
_INDEX = "projection_equals_fold"


@dataclass(frozen=True)
class Verified:
    """What was found of one call; no findings while it is not over."""

    call: str
    outcome: str
    findings: list[Finding]

    @property
    def broken(self) -> list[Finding]:
        """What does not hold."""
        return [finding for finding in self.findings if not finding.holds]

    def document(self) -> dict[str, Any]:
        """The call for programs."""
        checks = [{"check": f.name, "holds": f.holds, "text": f.text} for f in self.findings]
        return {"call": self.call, "outcome": self.outcome, "checks": checks}


async def verify(data: Path, reference: str | None, printer: Printer) -> bool:
    """Check the log and one call or all; True when every check holds. Raises `StandaloneError`."""
    places = places_of(data)
    try:
        async with opened(places) as stores:
            log, whole = await _check_log(stores)
            calls = _calls_in(log)
            chosen = calls if reference is None else [call_named(reference, calls)]
            printer.progress(f"the log has {len(log)} entries; checking calls: {len(chosen)}")
            verified = []
            async for one in _each(stores, chosen):
                _tell(one, printer, in_full=reference is not None)
                verified.append(one)
    except (PyMongoError, PlatformError, OSError) as error:
        raise NotRunning(f"the stores cannot be read: {error}") from error
    printer.finding(whole)
    findings = [whole, *(finding for one in verified for finding in one.findings)]
    broken = sum(not finding.holds for finding in findings)
    printer.document(
        {
            "holds": not broken,
            "log": {"check": whole.name, "holds": whole.holds, "text": whole.text},
            "calls": [one.document() for one in verified],
        }
    )
    said = f"{broken} of {len(findings)} checks do not hold" if broken else "every check holds"
    printer.line(f"{len(verified)} calls: {said}", "red" if broken else "green")
    return not broken


def places_of(data: Path) -> Places:
    """Where the stack on this data folder keeps things. Raises `NotRunning`, `BadRequest`."""
    folder = DataFolder(data.expanduser().absolute())
    endpoints = read_endpoints(data)
    named = External.from_environment(os.environ)
    mongo = f"mongodb://{endpoints['mongo']}/"
    if "mongo" not in endpoints.pids:
        if not named.mongo:
            raise BadRequest(
                f"this stack keeps its log on {endpoints['mongo']}: "
                "name that server in ONRECORD_MONGO, as for `onrecord up`"
            )
        mongo = named.mongo
    return Places(mongo, endpoints["kafka"], endpoints.objects, folder.spool)


def _calls_in(log: Log) -> list[str]:
    """The calls of a log, newest first."""
    streams = dict.fromkeys(stream for _, stream, _ in log)
    calls = [stream.removeprefix("call/") for stream in streams if stream.startswith("call/")]
    return calls[::-1]


async def _check_log(stores: Stores) -> tuple[Log, Finding]:
    """The place of every entry, and whether the log is whole; each entry is looked at once."""
    traces = await stores.traces()
    places, faults = [], []
    async for logged in stores.entries():
        places.append((logged.index, logged.stream, logged.seq))
        try:
            intact(logged)
        except Broken as broken:
            faults.append(str(broken))
    log = tuple(places)
    try:
        text = f"{without_gap(log)}, {nothing_cut(log, traces)}"
    except Broken as broken:
        faults.insert(0, str(broken))
    return log, Finding("order", not faults, "; ".join(faults[:8]) if faults else text)


async def _each(stores: Stores, calls: list[str]) -> AsyncIterator[Verified]:
    """Each call in turn; where the index differs, once more until there was time to catch up."""
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    for call in calls:
        while True:
            try:
                seen = await stores.observe(call)
                findings, outcome = run_checks(seen, checks_without_phones(seen)), _outcome(seen)
            except LedgerError as error:
                findings, outcome = [Finding("entries_intact", False, str(error))], "unreadable"
            lags = any(f.name == _INDEX and not f.holds for f in findings)
            if not lags or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_RETRY_SECONDS)
        yield Verified(call, outcome, findings)


def _outcome(seen: Observed) -> str:
    verdicts = seen.of_type("call.verdict", "call.verdict_amended")
    if verdicts:
        return str(verdicts[-1].fields["verdict"])
    return "not answered" if seen.of_type("call.ended") else "not over"


def _tell(one: Verified, printer: Printer, *, in_full: bool) -> None:
    if in_full or one.broken:
        printer.line(f"{one.call}  {one.outcome}")
        for finding in one.findings if in_full else one.broken:
            printer.finding(finding)
    elif one.findings:
        printer.line(f"holds   {one.call}  {one.outcome}: {len(one.findings)} checks", "green")
    else:
        printer.line(f"        {one.call}  {one.outcome}: nothing to check yet")
