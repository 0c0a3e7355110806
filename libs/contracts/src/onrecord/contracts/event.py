"""The envelope of an event: who it is, where it belongs, when it happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from onrecord.contracts.fact import Fact
from onrecord.contracts.instant import format_time, parse_time

__all__ = ["Event", "call_event", "format_time", "parse_time"]


@dataclass(frozen=True)
class Event:
    """One fact with its envelope, as an appender hands it to the ledger.

    `event_id` is derived from the cause, so that a retry is the same event. `stream` is
    `<kind>/<id>`; `call` is empty where no call is concerned; `time` is the appender's clock.
    """

    event_id: str
    stream: str
    call: str
    time: str
    fact: Fact
    traceparent: str = ""

    @property
    def type(self) -> str:
        """The event's name in the table, such as `call.started`."""
        return self.fact.TYPE


def call_event(call: str, fact: Fact, time: datetime, discriminator: str = "") -> Event:
    """An event of a call's own stream; `discriminator` tells several of one type apart."""
    event_id = f"{call}:{fact.TYPE}" + (f":{discriminator}" if discriminator else "")
    return Event(event_id, f"call/{call}", call, format_time(time), fact)
