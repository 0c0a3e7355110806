"""Gives each answered call its verdict, as soon as the log says enough or its worker is silent.

What is found later amends it. The state is a fold of the log: a restarted ledger goes on where the
last note of the position stands, and reads again the calls that were open there.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from onrecord.consent_ledger.appender import Appender
from onrecord.consent_ledger.domain.awake import AwakeClock
from onrecord.consent_ledger.domain.call import Call, apply, fold, is_news
from onrecord.consent_ledger.domain.entries import Draft, StoredEntry, open_draft
from onrecord.consent_ledger.domain.errors import LedgerRefusal
from onrecord.consent_ledger.domain.verdict import conclude, is_due, is_settled
from onrecord.consent_ledger.ports import EntryLog, Followed, StoreUnavailable, VerdictPosition
from onrecord.consent_ledger.settings import LedgerSettings
from onrecord.consent_ledger.tail import PAGE, follow
from onrecord.contracts.event import call_event
from onrecord.platform.clock import monotonic
from onrecord.platform.errors import Overloaded, Unavailable
from onrecord.platform.telemetry import continued, get_logger, traceparent, tracer

log = get_logger()

CHECK_SECONDS = 1.0
LONGEST_ROUND = 3 * CHECK_SECONDS
NOTE_SECONDS = 10.0
MAX_NOTED = 50_000
"""Calls that a note can hold; with more of them open the older note stays."""


class NotDue(LedgerRefusal):
    """The verdict cannot be given now: a fact came in between."""

    reason = "not_due"


@dataclass(slots=True)
class _Watched:
    """A call that may be judged: what its log says, when something was heard, its trace.

    `heard` is when a worker last named it, `told` when its last fact came in.
    """

    call: Call
    heard: float
    told: float
    traceparent: str

    @property
    def entries(self) -> int:
        """How many entries of the call's stream are folded."""
        return len(self.call.event_ids)


class Verdicts:
    """Watches the calls of which something is still to be said. Run `run` as a task.

    A call that was never answered is forgotten when no worker names it any more; a late fact of a
    call that is not watched has its stream read again.
    """

    def __init__(
        self,
        entries: EntryLog,
        position: VerdictPosition,
        appender: Appender,
        settings: LedgerSettings,
    ) -> None:
        self._log = entries
        self._position = position
        self._appender = appender
        self._settings = settings
        self._calls: dict[str, _Watched] = {}
        self._unread: set[str] = set()
        self._clock = AwakeClock(LONGEST_ROUND)
        self._caught_up = False
        self._next_index = 0
        self._noted_index = 0
        self._noted_at = 0.0

    def keep_alive(self, calls: Sequence[str]) -> None:
        """A worker says that it still has these calls; calls that are not open are ignored."""
        now = self._now()
        for call in calls:
            if call in self._calls:
                self._calls[call].heard = now

    async def run(self) -> None:
        """Fold the log and append verdicts until cancelled."""
        grown = self._appender.subscribe()
        await self._resume()
        async for page in follow(self._log, self._next_index, grown, CHECK_SECONDS):
            now = self._now()
            for entry in page:
                self._take(entry, now)
            self._next_index += len(page)
            if len(page) < PAGE and not self._caught_up:
                # The clocks start when the past has been read.
                self._caught_up = True
                for watched in self._calls.values():
                    watched.heard = watched.told = now
            if self._caught_up:
                await self._read_streams()
                await self._judge_due()
                await self._note()

    def _now(self) -> float:
        return self._clock.read(monotonic())

    def _take(self, entry: StoredEntry, now: float) -> None:
        if not entry.stream.startswith("call/") or entry.call in self._unread:
            return
        watched = self._calls.get(entry.call)
        if watched is None:
            if entry.seq:
                if is_news(entry.type):
                    self._unread.add(entry.call)
                return
            watched = _Watched(Call(entry.call), now, now, entry.traceparent)
            self._calls[entry.call] = watched
        elif entry.seq < watched.entries:
            return  # It was read with its stream.
        watched.call = apply(watched.call, entry)
        watched.told = now
        if is_settled(watched.call):
            del self._calls[entry.call]

    async def _read_streams(self) -> None:
        """Take up the calls whose past is not in memory."""
        while self._unread:
            some = sorted(self._unread)[:PAGE]
            try:
                streams = await asyncio.gather(
                    *(self._log.stream(f"call/{call_id}") for call_id in some)
                )
            except StoreUnavailable as error:
                log.warning("streams unreadable", error=str(error))
                return
            now = self._now()
            for call_id, entries in zip(some, streams, strict=True):
                call = fold(call_id, entries)
                if entries and not is_settled(call):
                    self._calls[call_id] = _Watched(call, now, now, entries[0].traceparent)
            self._unread.difference_update(some)

    async def _judge_due(self) -> None:
        now = self._now()
        due = []
        for call_id, watched in list(self._calls.items()):
            silent = now - watched.heard > self._settings.keepalive_silence
            overdue = now - watched.told > self._settings.recorder_silence
            if is_due(watched.call, silent=silent, overdue=overdue):
                due.append(self._judge(watched, silent=silent, overdue=overdue))
            elif silent and not watched.call.answered:
                del self._calls[call_id]
        for done in filter(None, await asyncio.gather(*due)):
            self._calls.pop(done, None)

    async def _judge(self, watched: _Watched, *, silent: bool, overdue: bool) -> str | None:
        """State what is due in the call's trace; gives its id when nothing more is to be said."""
        call_id = watched.call.id
        if conclude(watched.call) is None:
            return call_id
        with (
            continued(watched.traceparent, call_id),
            tracer().start_as_current_span("call.judge"),
        ):
            return await self._append_verdict(watched, silent=silent, overdue=overdue)

    async def _append_verdict(
        self, watched: _Watched, *, silent: bool, overdue: bool
    ) -> str | None:
        call_id, cause = watched.call.id, traceparent()

        def guard(entries: Sequence[StoredEntry], now: datetime) -> Draft:
            call = fold(call_id, entries)
            # A fact that came in meanwhile may be the one that was waited for.
            waited = overdue and len(entries) == watched.entries
            due = is_due(call, silent=silent, overdue=waited)
            if not due or (verdict := conclude(call)) is None:
                raise NotDue(call_id)
            number = str(len(call.verdict_ids)) if call.verdict_ids else ""
            event = call_event(call_id, verdict, now, number)
            return open_draft(dataclasses.replace(event, traceparent=cause))

        try:
            entry = await self._appender.append_guarded(f"call/{call_id}", guard)
        except (NotDue, Overloaded, Unavailable) as error:
            log.info("verdict postponed", call=call_id, reason=error.reason)
            return None
        fields = entry.read().fields
        log.info("verdict", call=call_id, verdict=fields["verdict"], causes=fields.get("causes"))
        return call_id

    async def _resume(self) -> None:
        """Go on where an earlier process noted that it was."""
        while True:
            try:
                noted = await self._position.load()
                last = await self._log.page(noted.next_index - 1, 1) if noted.next_index else []
            except StoreUnavailable as error:
                log.warning("verdict position unreadable", error=str(error))
                await asyncio.sleep(CHECK_SECONDS)
                continue
            # A log brought back from a copy may be shorter than the note that came with it.
            if last:
                self._next_index = self._noted_index = noted.next_index
                self._unread = set(noted.open_calls)
            return

    async def _note(self) -> None:
        """Note the position when it moved; a note that is lost only has more read again."""
        calls = self._calls.keys() | self._unread
        due = monotonic() - self._noted_at >= NOTE_SECONDS
        if not due or self._next_index == self._noted_index or len(calls) > MAX_NOTED:
            return
        self._noted_at = monotonic()
        try:
            await self._position.save(Followed(self._next_index, frozenset(calls)))
        except StoreUnavailable as error:
            log.warning("verdict position not noted", error=str(error))
        else:
            self._noted_index = self._next_index
