"""Both phones of many calls at once, in a process of their own, so that nothing else delays them.

Every phone speaks from the answer on to the hang-up, and no two frames that it sends are equal: a
frame is known again by its payload wherever it arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import uvloop
from onrecord.softphone import CallEndedEarly, PhoneCall, Softphone
from onrecord.softphone.audio import FRAME_SAMPLES, FRAME_SECONDS
from onrecord.standalone.checks.observed import PhoneTape
from onrecord.standalone.demo import tape

Address = tuple[str, int]

CALLER_NUMBER = "02079460123"
CODEC = "PCMU"
ANSWER_SECONDS = 30.0
END_SECONDS = 10.0
PRIORITY = -10
HELPING_SECONDS = 1.0
"""How much a phone is given to say at a time; it has at least as much ahead always."""


@dataclass(frozen=True)
class Placement:
    """Calls to be placed: how many, how many per second, through which server to which agent.

    Without a server the callers call the agent's phone itself.
    """

    calls: int
    per_second: float
    agent: Address
    server: Address | None
    seed: int


@dataclass(frozen=True)
class Pair:
    """One call as its two phones had it.

    `failure` says what went wrong with it, `setup_ns` is from INVITE to 200 at the caller, None
    without an answer.
    """

    number: str
    failure: str
    setup_ns: int | None
    caller: PhoneTape
    agent: PhoneTape


class PhoneProcess:
    """The phones as the bench sees them."""

    def __init__(
        self, process: multiprocessing.process.BaseProcess, connection: Connection
    ) -> None:
        self._process = process
        self._connection = connection

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid or 0

    async def place(self, placement: Placement) -> int:
        """Place the calls, wait until each is answered or has failed; how many are up."""
        answered: int = await self._ask(placement)
        return answered

    async def hang_up(self) -> list[Pair]:
        """Have every caller hang up at once, wait for the agents to hear of it."""
        pairs: list[Pair] = await self._ask(None)
        return pairs

    async def _ask(self, request: Placement | None) -> Any:
        self._connection.send(request)
        return await asyncio.to_thread(self._connection.recv)


@contextlib.contextmanager
def phone_process() -> Iterator[PhoneProcess]:
    """Run the phones' process while the context lasts."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(theirs,), name="phones", daemon=True)
    process.start()
    theirs.close()
    try:
        yield PhoneProcess(process, ours)
    finally:
        # It ends by itself when nobody is there to ask it for anything.
        ours.close()
        process.join(END_SECONDS)
        process.kill()
        process.join()


def _run(connection: Connection) -> None:
    # Every frame is remembered: to look through them for cycles takes longer than a frame lasts.
    gc.disable()
    with contextlib.suppress(PermissionError):
        # They stand for other machines, which would not wait for ours. Only root may do this.
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        uvloop.run(_serve(connection))


async def _serve(connection: Connection) -> None:
    while True:
        placement: Placement = await asyncio.to_thread(connection.recv)
        host, port = placement.agent

        async def answer(call: PhoneCall, seed: int = placement.seed) -> None:
            call.ring()
            call.answer()
            await _talk(call, f"{seed}/agent/{call.number}")

        agents = Softphone(host=host, port=port, user="agent", codecs=(CODEC,), behaviour=answer)
        async with (
            agents,
            Softphone(user="caller", codecs=(CODEC,)) as callers,
            asyncio.TaskGroup() as talking,
        ):
            server = placement.server or agents.address
            lines = await _place(placement, callers, server, talking)
            connection.send(sum(not line.failure for line in lines))
            await asyncio.to_thread(connection.recv)
            connection.send(await _hang_up(lines, agents.calls))


@dataclass
class _Line:
    """A call that a caller placed, and what went wrong with it."""

    call: PhoneCall
    failure: str = ""


async def _place(
    placement: Placement, callers: Softphone, server: Address, talking: asyncio.TaskGroup
) -> list[_Line]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    lines = []
    async with asyncio.TaskGroup() as answering:
        for count in range(placement.calls):
            # Each call has its own due time, so that a late one does not shift those after it.
            await asyncio.sleep(max(0.0, began + count / placement.per_second - loop.time()))
            number = f"0207946{count:04}"
            line = _Line(await callers.call(number, server, caller=CALLER_NUMBER))
            answering.create_task(_until_answered(line))
            talking.create_task(_talk_once_answered(line, f"{placement.seed}/caller/{number}"))
            lines.append(line)
    return lines


async def _until_answered(line: _Line) -> None:
    try:
        await line.call.wait_answered(ANSWER_SECONDS)
    except (CallEndedEarly, TimeoutError) as error:
        line.failure = str(error) or f"not answered within {ANSWER_SECONDS:.0f} s"


async def _talk_once_answered(line: _Line, seed: str) -> None:
    with contextlib.suppress(CallEndedEarly, TimeoutError):
        await line.call.wait_answered(ANSWER_SECONDS)
        await _talk(line.call, seed)


async def _talk(call: PhoneCall, seed: str) -> None:
    """Keep between one and two helpings of speech ahead until the call is over."""
    source = random.Random(seed)  # noqa: S311 - reproducible, not secret
    frames = round(HELPING_SECONDS / FRAME_SECONDS)
    call.say(source.randbytes(FRAME_SAMPLES) for _ in range(frames))
    while not call.ending:
        call.say([source.randbytes(FRAME_SAMPLES) for _ in range(frames)])
        await asyncio.sleep(HELPING_SECONDS)


async def _hang_up(lines: list[_Line], incoming: list[PhoneCall]) -> list[Pair]:
    for line in lines:
        if line.call.ending:
            line.failure = line.failure or f"ended before its time: {line.call.ending}"
        elif line.failure:
            line.call.cancel()
        else:
            line.call.hang_up()
    agents = {call.number: call for call in incoming}
    return [await _ended(line, agents.get(line.call.number)) for line in lines]


async def _ended(line: _Line, agent: PhoneCall | None) -> Pair:
    call, failure = line.call, line.failure
    if agent is None:
        failure = failure or "the agent was not called"
    else:
        try:
            await agent.wait_over(END_SECONDS)
        except TimeoutError:
            failure = failure or "the agent was not told of the end"
    setup_ns = None if call.answered_ns is None else call.answered_ns - call.began_ns
    return Pair(call.number, failure, setup_ns, tape(call), _tape(agent))


def _tape(call: PhoneCall | None) -> PhoneTape:
    return PhoneTape((), (), 0) if call is None else tape(call)
