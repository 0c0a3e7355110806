"""Readiness: what the index server answered last, never a guess."""

from __future__ import annotations

import asyncio

import pytest
from onrecord.platform.errors import Unavailable
from onrecord.retrieval import health as module
from onrecord.retrieval.health import IndexHealth

DEADLINE = 5


class ScriptedServer:
    """Answers as scripted, True or False, one question after another; then is silent."""

    def __init__(self, health: list[str], *answers: bool) -> None:
        self._answers = list(answers)
        self.asked = health
        self.silent = asyncio.Event()

    async def prepare(self) -> None:
        """Answer the first question until it went well."""
        await self._answer("prepare")

    async def ping(self) -> None:
        """Answer every question after that."""
        await self._answer("ping")

    async def _answer(self, question: str) -> None:
        if not self._answers:
            self.silent.set()
            await asyncio.Event().wait()
        self.asked.append(question)
        if not self._answers.pop(0):
            raise Unavailable("mongo_unavailable")


@pytest.mark.parametrize(
    ("answers", "asked", "reasons"),
    [
        ([], [], ["mongo has not answered yet"]),
        ([True], ["prepare"], []),
        ([False], ["prepare"], ["mongo does not answer"]),
        ([False, True], ["prepare", "prepare"], []),
        ([True, True, False], ["prepare", "ping", "ping"], ["mongo does not answer"]),
        ([True, False, True], ["prepare", "ping", "ping"], []),
    ],
)
async def test_readiness_is_the_last_answer(
    monkeypatch: pytest.MonkeyPatch, answers: list[bool], asked: list[str], reasons: list[str]
) -> None:
    """Indexes are made once, as soon as the server is there; then it is only asked."""
    monkeypatch.setattr(module, "ASK_SECONDS", 0)
    questions: list[str] = []
    server = ScriptedServer(questions, *answers)
    health = IndexHealth(server)
    watching = asyncio.create_task(health.watch())
    async with asyncio.timeout(DEADLINE):
        await server.silent.wait()
    assert (questions, health.reasons()) == (asked, reasons)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
