"""The envelope of an event: who it is, where it belongs, when it happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from onrecord.contracts.fact import Fact


def format_time(moment: datetime) -> str:
    """UTC in RFC 3339 with six fraction digits and `Z`, the one form in which times are kept."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """The moment that `format_time` wrote. Raises ValueError on any other form."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


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
