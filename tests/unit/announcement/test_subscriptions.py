"""What the service reacts to: each call's verdict is counted once."""

from __future__ import annotations

import pytest
from onrecord.announcement import subscriptions as module
from onrecord.announcement.subscriptions import VerdictCount, subscriptions
from onrecord.contracts.entry import Entry


class Counter:
    """Keeps what was counted."""

    def __init__(self) -> None:
        self.counted: list[dict[str, str]] = []

    def add(self, amount: int, attributes: dict[str, str]) -> None:
        """Count one."""
        assert amount == 1
        self.counted.append(attributes)


def a_verdict(call: str, grade: str | None) -> Entry:
    """The entry of a call's verdict; a field of a later version is no matter."""
    fields = {"verdict": "recorded", "weakest_grade": grade, "from_the_future": 1}
    moment = "2026-11-23T12:00:00.000000Z"
    return Entry(
        9, 3, f"call/{call}", call, f"{call}:call.verdict", "call.verdict", moment, moment, fields
    )


async def test_a_repeated_verdict_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus delivers at least once."""
    counter = Counter()
    monkeypatch.setattr(module, "achieved", counter)
    (row,) = subscriptions(VerdictCount())
    for entry in (a_verdict("c1", "B"), a_verdict("c1", "B"), a_verdict("c2", None)):
        await row.handler(entry)
    assert row.event_types == {"call.verdict"}
    assert counter.counted == [
        {"verdict": "recorded", "weakest_grade": "B"},
        {"verdict": "recorded", "weakest_grade": "none"},
    ]
