"""One recorded call of a bench, looked at from outside: its verdict, its frames, every check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.frames import NOTHING, Counted, heard, stored
from bench.phones import CALLER_NUMBER, Pair
from onrecord.contracts.entry import Entry
from onrecord.ledger.instant import parse_time
from onrecord.standalone.checks import ANY_CALL, RECORDED_CALL, run_checks
from onrecord.standalone.checks.observed import PARTIES, Observed
from onrecord.standalone.checks.reader import Places, observe

_LISTENING = frozenset({"channels_right", "access_before_release"})
"""Checks of the released audio: nobody listens here."""
_CHECKS = {
    name: check for name, check in (ANY_CALL | RECORDED_CALL).items() if name not in _LISTENING
}


@dataclass(frozen=True)
class Judged:
    """What was found of one call; `gate_ms` is from its answer to the begin of its recording."""

    broken: tuple[str, ...]
    heard: tuple[Counted, ...] = ()
    stored: Counted = NOTHING
    gate_ms: float | None = None


async def judge(
    places: Places, call: str, found: Mapping[str, Entry], pairs: Sequence[Pair]
) -> Judged:
    """Look at one call; `found` has its published entries by type, `pairs` all phones."""
    if "call.verdict" not in found:
        return Judged(("there is no verdict",))
    verdict = found["call.verdict"].fields
    if verdict["verdict"] != "recorded":
        return Judged((f"the verdict is {verdict['verdict']}: {', '.join(verdict['causes'])}",))
    seen = await observe(places, call, {})
    pair = _pair_of(seen, pairs)
    if pair is None:
        return Judged(("no phone sent what was kept",))
    tapes = {"caller": pair.caller, "agent": pair.agent}
    seen = replace(seen, phones=tapes, private=(CALLER_NUMBER, pair.number))
    opened = parse_time(found["recording.started"].time)
    answered = parse_time(found["call.answered"].time)
    since_ns = int(opened.timestamp() * 1e9)
    return Judged(
        tuple(f"{f.name}: {f.text}" for f in run_checks(seen, _CHECKS) if not f.holds),
        (heard(pair.caller, pair.agent, since_ns), heard(pair.agent, pair.caller, since_ns)),
        stored(seen),
        (opened - answered).total_seconds() * 1e3,
    )


def _pair_of(seen: Observed, pairs: Sequence[Pair]) -> Pair | None:
    """The phones that sent what was kept; the call's number stands in clear nowhere."""
    kept = {frame.ssrc for party in PARTIES for frame in seen.frames(party)}
    tapes = ((pair, tape) for pair in pairs for tape in (pair.caller, pair.agent) if tape.sent)
    return next((pair for pair, tape in tapes if tape.sent[0].ssrc in kept), None)
