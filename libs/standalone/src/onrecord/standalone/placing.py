"""`onrecord call`: a call through a running stack, between two built-in phones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from onrecord.softphone import Softphone
from onrecord.standalone import dialogue, present
from onrecord.standalone.checks.reader import log_head
from onrecord.standalone.dialogue import awaited
from onrecord.standalone.doors import retrieval
from onrecord.standalone.endpoints import read_endpoints
from onrecord.standalone.errors import BadRequest
from onrecord.standalone.follow import following
from onrecord.standalone.present import Printer, Timeline
from onrecord.standalone.routes import DEFAULT_AGENT
from onrecord.standalone.verify import places_of

CALLER = "02079460123"
"""A number that Ofcom keeps for fiction."""

VERDICT_SECONDS = 60.0


async def place(data: Path, number: str, printer: Printer) -> None:
    """Dial the number; the agent answers where the default routes send calls, both talk, it ends.

    Each fact is printed as it is published. Raises a `StandaloneError` when the call does not come
    about.
    """
    endpoints = read_endpoints(data)
    host, _, port = endpoints["sip_udp"].rpartition(":")
    head = await log_head(places_of(data).mongo)
    timeline = Timeline(printer, after=head)
    async with (
        _agent() as agent,
        Softphone(user="caller", codecs=(dialogue.CODEC,)) as caller,
        following(endpoints["kafka"], timeline.tell) as follower,
    ):
        phones = await dialogue.dial(caller, agent, number, CALLER, (host, int(port)))
        call = await dialogue.recorded(follower, head, phones)
        verdict = follower.event(call, frozenset({"call.verdict"}), VERDICT_SECONDS)
        await awaited(verdict, "no verdict came")
        async with retrieval(data) as door:
            found = await awaited(door.with_verdict(call), "retrieval does not list the call")
    printer.document(present.call_document(found))
    printer.line(present.call_line(found))


@asynccontextmanager
async def _agent() -> AsyncIterator[Softphone]:
    host, _, port = DEFAULT_AGENT.rpartition(":")
    async with AsyncExitStack() as stack:
        phone = Softphone(host=host, port=int(port), user="agent", codecs=(dialogue.CODEC,))
        try:
            await stack.enter_async_context(phone)
        except OSError as error:
            raise BadRequest(
                f"the agent's phone cannot listen on {DEFAULT_AGENT}, where the default routes "
                f"send calls: {error.strerror}"
            ) from None
        yield phone
