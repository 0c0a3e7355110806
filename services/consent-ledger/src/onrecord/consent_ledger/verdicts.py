"""Gives each answered call its verdict, as soon as the log says enough or its worker is silent.

The state is a fold of the log: a restarted ledger reads it again and finds what is unfinished.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
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
from onrecord.platform.telemetry import continued, get_logger, traceparent, tracer

log = get_logger()

CHECK_SECONDS = 1.0


class NotDue(LedgerRefusal):
    """The verdict cannot be given now: a fact came in between."""

    reason = "not_due"


@dataclass(slots=True)
class _Watched:
    """An unfinished call: what its log says, when a worker last named it, what its trace is."""

    call: Call
    heard: float
    traceparent: str


class Verdicts:
    """Watches all unfinished calls. Run `run` as a task."""

    def __init__(self, entries: EntryLog, appender: Appender, silence: float) -> None:
        """A call that no worker names for `silence` seconds is judged without its end."""
        self._log = entries
        self._appender = appender
        self._silence = silence
        self._calls: dict[str, _Watched] = {}
        self._caught_up = False

    def keep_alive(self, calls: Sequence[str]) -> None:
        """A worker says that it still has these calls; calls that are not open are ignored."""
        now = monotonic()
        for call in calls:
            if call in self._calls:
                self._calls[call].heard = now

    async def run(self) -> None:
        """Fold the log and append verdicts until cancelled."""
        grown = self._appender.subscribe()
        async for page in follow(self._log, 0, grown, CHECK_SECONDS):
            for entry in page:
                self._take(entry)
            if len(page) < PAGE and not self._caught_up:
                # The clocks of silence start when the past has been read.
                self._caught_up = True
                self.keep_alive(list(self._calls))
            if self._caught_up:
                await self._judge_due()

    def _take(self, entry: StoredEntry) -> None:
        if not entry.stream.startswith("call/"):
            return
        watched = self._calls.get(entry.call)
        if watched is None:
            if entry.seq:
                return  # A late fact of a call that is settled.
            watched = _Watched(Call(entry.call), monotonic(), entry.traceparent)
            self._calls[entry.call] = watched
        watched.call = apply(watched.call, entry)
        if is_settled(watched.call):
            del self._calls[entry.call]

    async def _judge_due(self) -> None:
        oldest = monotonic() - self._silence
        due = [
            (watched, silent)
            for watched in self._calls.values()
            if is_due(watched.call, silent=(silent := watched.heard < oldest))
        ]
        outcomes = await asyncio.gather(
            *(self._judge(watched, silent=silent) for watched, silent in due)
        )
        for call_id in filter(None, outcomes):
            self._calls.pop(call_id, None)

    async def _judge(self, watched: _Watched, *, silent: bool) -> str | None:
        """Append the call's verdict in the call's trace; gives its id when the verdict stands."""
        call_id = watched.call.id
        with (
            continued(watched.traceparent, call_id),
            tracer().start_as_current_span("call.judge"),
        ):
            return await self._append_verdict(call_id, silent=silent)

    async def _append_verdict(self, call_id: str, *, silent: bool) -> str | None:
        cause = traceparent()

        def guard(entries: Sequence[StoredEntry], now: datetime) -> Draft | StoredEntry:
            event_id = f"{call_id}:call.verdict"
            for entry in entries:
                if entry.event_id == event_id:
                    return entry
            call = fold(call_id, entries)
            if not is_due(call, silent=silent):
                raise NotDue(call_id)
            verdict = call_event(call_id, judge(call), now)
            return open_draft(dataclasses.replace(verdict, traceparent=cause))

        try:
            entry = await self._appender.append_guarded(f"call/{call_id}", guard)
        except (NotDue, Overloaded, Unavailable) as error:
            log.info("verdict postponed", call=call_id, reason=error.reason)
            return None
        fields = entry.read().fields
        log.info("verdict", call=call_id, verdict=fields["verdict"], causes=fields.get("causes"))
        return call_id
