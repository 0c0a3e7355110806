"""One way to call a door: with a deadline, and again while the peer may only be restarting."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import grpc.aio
from onrecord.platform.clock import monotonic
from onrecord.platform.grpc import RETRYABLE

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 0.4
SHORTEST_DEADLINE = 0.05


async def ask(
    method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ReplyT],
    request: RequestT,
    *,
    seconds: float,
    retry: float = 0.0,
) -> ReplyT:
    """Call an idempotent method within `seconds` altogether, starting no try after `retry`.

    Raises grpc.aio.AioRpcError with the last status.
    """
    started = monotonic()
    pause = FIRST_PAUSE
    while True:
        left = seconds - (monotonic() - started)
        try:
            return await method(request, timeout=max(SHORTEST_DEADLINE, left))
        except grpc.aio.AioRpcError as error:
            if error.code() not in RETRYABLE or monotonic() - started + pause >= retry:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
