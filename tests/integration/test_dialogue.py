"""What the built-in phones do when a call does not come about."""

from __future__ import annotations

import pytest
from onrecord.softphone import Softphone, rejecting
from onrecord.standalone.dialogue import dial
from onrecord.standalone.errors import StandaloneError


async def test_a_call_that_is_refused_says_why_at_once() -> None:
    """A number without a route, say: nobody waits for an agent who will not be called."""
    async with (
        Softphone(behaviour=rejecting(404)) as server,
        Softphone() as agent,
        Softphone() as caller,
    ):
        with pytest.raises(StandaloneError, match="the agent was not called: rejected 404"):
            await dial(caller, agent, "1000", "02079460123", server.address)
