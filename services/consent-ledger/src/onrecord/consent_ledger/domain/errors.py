"""What the ledger refuses, in its own words; `rpc` maps each to a status."""

from __future__ import annotations

from collections.abc import Sequence


class LedgerRefusal(Exception):
    """A request that the ledger does not carry out; `reason` is a closed slug."""

    reason = "refused"
    retryable = False


class BadEvent(LedgerRefusal):
    """An event that does not fit the contracts; the text names the event and the field."""

    reason = "bad_event"

    def __init__(self, event_id: str, field: str, detail: str) -> None:
        super().__init__(f"{event_id}: {field}: {detail}")
        self.event_id = event_id
        self.field = field


class FactsMissing(LedgerRefusal):
    """Facts that the caller relies on are not committed; the text names their event ids."""

    reason = "facts_missing"

    def __init__(self, event_ids: Sequence[str]) -> None:
        super().__init__(f"not committed: {', '.join(event_ids)}")
        self.event_ids = tuple(event_ids)


class Conflict(LedgerRefusal):
    """The id of an earlier request was used again for another one."""

    reason = "id_used_for_another"


class ForeignFact(LedgerRefusal):
    """A fact that another service states than the one that sent it."""

    reason = "foreign_fact"


class RecordingComplete(LedgerRefusal):
    """All of the recording is stored: its keys are for those who listen, behind their entry."""

    reason = "recording_complete"
