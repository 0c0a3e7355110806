"""Gives each answered call its verdict, as soon as the log says enough or its worker is silent.

The state is a fold of the log: a restarted ledger reads it again and finds what is unfinished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from onrecord.consent_ledger.appender import Appender
from onrecord.consent_ledger.domain.call import Call, apply, fold
from onrecord.consent_ledger.domain.entries import Draft, StoredEntry, open_draft
from onrecord.consent_ledger.domain.errors import LedgerRefusal
from onrecord.consent_ledger.domain.verdict import is_due, is_settled, judge
from onrecord.consent_ledger.ports import EntryLog
from onrecord.consent_ledger.tail import PAGE, follow
from onrecord.contracts.event import call_event
from onrecord.platform.clock import monotonic
from onrecord.platform.errors import Overloaded, Unavailable
from onrecord.platform.telemetry import get_logger

log = get_logger()

CHECK_SECONDS = 1.0


class NotDue(LedgerRefusal):
    """The verdict cannot be given now: a fact came in between."""

    reason = "not_due"


class Verdicts:
    """Watches all unfinished calls. Run `run` as a task."""

    def __init__(self, entries: EntryLog, appender: Appender, silence: float) -> None:
        """A call that no worker names for `silence` seconds is judged without its end."""
        self._log = entries
        self._appender = appender
        self._silence = silence
        self._calls: dict[str, Call] = {}
        self._heard: dict[str, float] = {}
        self._caught_up = False

    def keep_alive(self, calls: Sequence[str]) -> None:
        """A worker says that it still has these calls; calls that are not open are ignored."""
        now = monotonic()
        for call in calls:
            if call in self._heard:
                self._heard[call] = now

    async def run(self) -> None:
        """Fold the log and append verdicts until cancelled."""
        grown = self._appender.subscribe()
        async for page in follow(self._log, 0, grown, CHECK_SECONDS):
            for entry in page:
                self._take(entry)
            if len(page) < PAGE and not self._caught_up:
                # The clocks of silence start when the past has been read.
                self._caught_up = True
                self._heard = dict.fromkeys(self._calls, monotonic())
            if self._caught_up:
                await self._judge_due()

    def _take(self, entry: StoredEntry) -> None:
        if not entry.stream.startswith("call/"):
            return
        call = self._calls.get(entry.call)
        if call is None:
            if entry.seq:
                return  # A late fact of a call that is settled.
            call = Call(entry.call)
            self._heard[entry.call] = monotonic()
        call = apply(call, entry)
        if is_settled(call):
            self._calls.pop(entry.call, None)
            self._heard.pop(entry.call, None)
        else:
            self._calls[entry.call] = call

    async def _judge_due(self) -> None:
        oldest = monotonic() - self._silence
        due = [
            (call.id, silent)
            for call in self._calls.values()
            if is_due(call, silent=(silent := self._heard[call.id] < oldest))
        ]
        outcomes = await asyncio.gather(
            *(self._append_verdict(call_id, silent=silent) for call_id, silent in due)
        )
        for call_id in filter(None, outcomes):
            self._calls.pop(call_id, None)
            self._heard.pop(call_id, None)

    async def _append_verdict(self, call_id: str, *, silent: bool) -> str | None:
        """Append the call's verdict; gives its id when the verdict stands."""

        def guard(entries: Sequence[StoredEntry], now: datetime) -> Draft | StoredEntry:
            event_id = f"{call_id}:call.verdict"
            for entry in entries:
                if entry.event_id == event_id:
                    return entry
            call = fold(call_id, entries)
            if not is_due(call, silent=silent):
                raise NotDue(call_id)
            return open_draft(call_event(call_id, judge(call), now))

        try:
            entry = await self._appender.append_guarded(f"call/{call_id}", guard)
        except (NotDue, Overloaded, Unavailable) as error:
            log.info("verdict postponed", call=call_id, reason=error.reason)
            return None
        fields = entry.read().fields
        log.info("verdict", call=call_id, verdict=fields["verdict"], causes=fields.get("causes"))
        return call_id
