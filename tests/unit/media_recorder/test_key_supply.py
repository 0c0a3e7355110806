"""Unit keys: refilled for many calls at once, and a call that gets none is given up alone."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from onrecord.media_recorder.domain.gate import State
from onrecord.media_recorder.key_supply import AT_ONCE, KeySupply
from onrecord.platform.errors import Refused


def call(name: str, keys: dict[int, bytes], next_key: int = 0) -> Any:
    """A call with an open gate and these keys left."""
    opened = SimpleNamespace(
        permit=SimpleNamespace(permit_id=f"{name}:p0"),
        signed=name,
        keys=keys,
        next_key=next_key,
        key_missing=next_key not in keys,
    )
    gate = SimpleNamespace(state=State.OPEN)
    return SimpleNamespace(
        call=name, traceparent="", open_permit=opened, gate=gate, unwritten=[1], given_up=""
    )


class Ledger:
    """Gives keys; waits until as many ask at once as a test wants, refuses whom it names."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.refuse: set[str] = set()
        self.together = asyncio.Barrier(1)

    async def fetch(self, signed: str, first: int, count: int = 240) -> dict[int, bytes]:
        """Give keys from this number on."""
        self.asked.append((signed, first))
        async with asyncio.timeout(10):
            await self.together.wait()
        if signed in self.refuse:
            raise Refused("keys_refused", "the test")
        return dict.fromkeys(range(first, first + count), b"k")


def supply(ledger: Ledger, *calls: Any) -> KeySupply:
    """A supply for these calls; what is given up is noted on the call."""
    made = KeySupply(ledger, {one.call: one for one in calls})  # type: ignore[arg-type]

    def give_up(refused: Any, why: str) -> None:
        refused.given_up = why

    made.on_refused = give_up
    return made


async def test_all_calls_are_asked_for_at_once() -> None:
    """After a restart every call lacks its keys: none waits for another's answer."""
    ledger, calls = Ledger(), [call(f"c{n}", {}, next_key=n) for n in range(AT_ONCE)]
    ledger.together = asyncio.Barrier(AT_ONCE)
    await supply(ledger, *calls).refill()
    assert sorted(ledger.asked) == sorted((f"c{n}", n) for n in range(AT_ONCE))
    assert all(one.open_permit.next_key in one.open_permit.keys for one in calls)


async def test_a_call_without_keys_to_come_is_given_up_and_the_others_go_on() -> None:
    """Refused while it waits for a key: its audio cannot be kept, and nobody waits for it."""
    ledger, bad, good = Ledger(), call("bad", {}), call("good", {})
    ledger.refuse = {"bad"}
    await supply(ledger, bad, good).refill()
    assert "keys_refused" in bad.given_up
    assert not good.given_up
    assert good.open_permit.keys


async def test_refused_keys_matter_when_the_last_is_used_up() -> None:
    """With keys left the recording goes on and the ledger is not asked again and again."""
    ledger, one = Ledger(), call("c1", {0: b"k"})
    ledger.refuse = {"c1"}
    keys = supply(ledger, one)
    await keys.refill()
    await keys.refill()
    assert (one.given_up, ledger.asked) == ("", [("c1", 0)])
    one.open_permit.next_key, one.open_permit.key_missing = 1, True
    await keys.refill()
    assert "keys_refused" in one.given_up
