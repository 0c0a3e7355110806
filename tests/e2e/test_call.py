"""`onrecord call` on a stack in use: a newcomer's first call."""

from __future__ import annotations

import json

import pytest
from onrecord.softphone import Softphone
from onrecord.standalone import placing
from onrecord.standalone.errors import BadRequest
from onrecord.standalone.present import Printer
from stack import RunningStack


@pytest.fixture(autouse=True)
def agent(stack: RunningStack, monkeypatch: pytest.MonkeyPatch) -> str:
    """The agent's phone is where the stack's routes send calls."""
    address = "{}:{}".format(*stack.agent)
    monkeypatch.setattr(placing, "DEFAULT_AGENT", address)
    return address


@pytest.mark.parametrize(
    ("number", "verdict", "voices"),
    [("1000", "recorded", {"caller", "agent"}), ("91000", "not_recorded", set())],
)
async def test_a_call_between_the_built_in_phones(
    stack: RunningStack,
    number: str,
    verdict: str,
    voices: set[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One command, and there is a call to look at: both voices on the recorded line."""
    await placing.place(stack.data, number, Printer(as_json=True))
    call = json.loads(capsys.readouterr().out)
    assert call["verdict"] == verdict
    assert call["kept_by_leg"].keys() & {"caller", "agent"} == voices


async def test_a_phone_that_is_there_already_is_named(stack: RunningStack, agent: str) -> None:
    """Somebody's own phone on the agent's address is not fought with."""
    host, port = stack.agent
    async with Softphone(host=host, port=port):
        with pytest.raises(BadRequest, match=f"cannot listen on {agent}"):
            await placing.place(stack.data, "1000", Printer(as_json=True))
