"""Scripts for phones that are called."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from onrecord.softphone.call import PhoneCall
from onrecord.softphone.phone import Behaviour


def answering(
    *,
    after: float = 0.0,
    speech: Sequence[bytes] = (),
    speaks_after: float = 0.0,
    talks: float | None = None,
) -> Behaviour:
    """Ring, answer `after` seconds, speak `speaks_after` seconds later, hang up after `talks`.

    With `talks` None the far side has to hang up.
    """

    async def behave(call: PhoneCall) -> None:
        call.ring()
        await asyncio.sleep(after)
        if call.ending:
            return
        call.answer()
        await asyncio.sleep(speaks_after)
        call.say(speech)
        if talks is not None:
            await asyncio.sleep(max(0.0, talks - speaks_after))
            call.hang_up()

    return behave


def rejecting(status: int = 486, *, after: float = 0.0) -> Behaviour:
    """Ring, then refuse: 486 is busy, 603 declined."""

    async def behave(call: PhoneCall) -> None:
        call.ring()
        await asyncio.sleep(after)
        if not call.ending:
            call.reject(status)

    return behave


def ringing() -> Behaviour:
    """Ring and never answer."""

    async def behave(call: PhoneCall) -> None:
        call.ring()

    return behave
