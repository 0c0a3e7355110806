"""Does a recorded call keep what onrecord promises? A checker that trusts no service.

`reader` collects what can be seen from outside; the checks are pure functions over that. Each
returns a sentence about what it found, or raises `Broken` with what does not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onrecord.contracts.entry import MalformedEntry
from onrecord.ledger.errors import LedgerError
from onrecord.rtp.errors import RtpError
from onrecord.standalone.checks import audio, log, manifest, permits, projection, unrecorded
from onrecord.standalone.checks.observed import Broken, Observed

Check = Callable[[Observed], str]

ANY_CALL: dict[str, Check] = {
    "order": log.order,
    "entries_intact": log.entries_intact,
    "one_verdict": log.one_verdict,
    "kafka_equals_ledger": log.kafka_equals_ledger,
    "nothing_personal_in_clear": log.nothing_personal_in_clear,
    "spool_empty": log.spool_empty,
}
"""What holds for every answered call once it has its verdict."""

WHATEVER_HAPPENED: dict[str, Check] = {
    **ANY_CALL,
    "kept_by_permit": permits.kept_by_permit,
    "losses_named": permits.losses_named,
    "verdict_fits": permits.verdict_fits,
    "hashes": log.hashes,
    "manifest_fits": manifest.manifest_fits,
    "projection_equals_fold": projection.projection_equals_fold,
}
"""What holds besides, once retrieval has caught up: also of a call in which something died."""

RECORDED_CALL: dict[str, Check] = {
    "all_told_before_permit": audio.all_told_before_permit,
    "permit_before_first_frame": audio.permit_before_first_frame,
    "nothing_kept_before": audio.nothing_kept_before,
    "audio_equal": audio.audio_equal,
    "notice_inside": audio.notice_inside,
    "channels_right": audio.channels_right,
    "hashes": log.hashes,
    "manifest_fits": manifest.manifest_fits,
    "access_before_release": log.access_before_release,
}
"""What holds besides for a call that was recorded and whose audio was released."""

UNRECORDED_CALL: dict[str, Check] = {
    "media_past_us": unrecorded.media_past_us,
    "rule_named": unrecorded.rule_named,
    "no_recorder": unrecorded.no_recorder,
    "no_far_number": unrecorded.no_far_number,
    "nothing_kept": unrecorded.nothing_kept,
}
"""What holds besides for a call on the unrecorded route."""

_STORED: dict[str, Check] = {
    "each_once": log.each_once,
    "entries_intact": log.entries_intact,
    "projection_equals_fold": projection.projection_equals_fold,
}
_STORED_RECORDED: dict[str, Check] = {
    "one_verdict": log.one_verdict,
    "kept_by_permit": permits.kept_by_permit,
    "gaps_named": permits.gaps_named,
    "verdict_fits": permits.verdict_fits,
    "hashes": log.hashes,
    "manifest_fits": manifest.manifest_fits,
    "spool_empty": log.spool_empty,
    "access_named": log.access_named,
}
_STORED_UNRECORDED: dict[str, Check] = {
    "one_verdict": log.one_verdict,
    "no_recorder": unrecorded.no_recorder,
    "no_far_number": unrecorded.no_far_number,
    "nothing_kept": unrecorded.nothing_kept,
}


def checks_without_phones(seen: Observed) -> dict[str, Check]:
    """What can be said of a call by what is stored alone; nothing while it is not over."""
    if any(not ended.fields["answered"] for ended in seen.of_type("call.ended")):
        return {**_STORED, "nothing_kept": unrecorded.nothing_kept}
    if not seen.of_type("call.verdict"):
        return {}
    if any(begun.fields["kind"] != "recorded" for begun in seen.of_type("call.started")):
        return _STORED | _STORED_UNRECORDED
    return _STORED | _STORED_RECORDED


@dataclass(frozen=True)
class Finding:
    """The outcome of one check, with the sentence that says what was found."""

    name: str
    holds: bool
    text: str


def run_checks(seen: Observed, checks: dict[str, Check]) -> list[Finding]:
    """Run each check; one that cannot even read what it needs does not hold."""
    return [_run(name, check, seen) for name, check in checks.items()]


def _run(name: str, check: Check, seen: Observed) -> Finding:
    try:
        return Finding(name, True, check(seen))
    except Broken as broken:
        return Finding(name, False, str(broken))
    except (LedgerError, RtpError, MalformedEntry, LookupError, ValueError, TypeError) as error:
        return Finding(name, False, f"cannot be read: {error!r}")
