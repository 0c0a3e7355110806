"""`onrecord verify` on a stack in use: what is stored keeps its promises, and damage is found."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from conversation import a_recorded_call
from onrecord.softphone import answering
from pymongo import MongoClient
from stack import ONRECORD, WAIT_SECONDS, RunningStack, laboratory


def verify(stack: RunningStack, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the document of one run."""
    done = subprocess.run(
        [ONRECORD, "verify", *arguments, "--json", "--data", str(stack.data)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def outcomes(document: dict[str, Any]) -> dict[str, bool]:
    """Whether each check of the one call holds."""
    (call,) = document["calls"]
    return {check["check"]: check["holds"] for check in call["checks"]}


async def test_the_calls_of_a_stack_in_use_can_be_verified(stack: RunningStack) -> None:
    """Every call of the log is checked, whatever became of it; an altered object is named."""
    async with laboratory(stack, answering()) as lab:
        call = await a_recorded_call(lab, "1000", seed=60)
    code, document = verify(stack)
    broken = [one for one in document["calls"] if not all(c["holds"] for c in one["checks"])]
    assert (code, document["holds"], broken) == (0, True, [])
    assert document["calls"][0]["call"] == call

    altered = next((Path(stack.endpoints.objects) / call / "caller").iterdir())
    body = altered.read_bytes()
    altered.chmod(0o600)
    altered.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    try:
        code, document = verify(stack, call[:-1])
    finally:
        altered.write_bytes(body)
    assert code == 1
    assert not document["holds"]
    assert not outcomes(document)["hashes"]
    assert outcomes(document)["entries_intact"]

    code, document = verify(stack, "last")
    assert (code, set(outcomes(document).values())) == (0, {True})


async def test_what_was_taken_out_of_the_log_is_missed(stack: RunningStack) -> None:
    """An access filed under another call, the log's end cut off, audio of no call in the log."""
    async with laboratory(stack, answering()) as lab:
        await a_recorded_call(lab, "1000", seed=70)
    stray = Path(stack.endpoints.objects) / "nobodyscall"
    with MongoClient[dict[str, Any]](stack.mongo_uri) as client:
        entries = client["onrecord"]["entries"]
        last = entries.find({"type": "access.granted"}).sort("_id", -1)[0]
        place = {"_id": last["_id"]}
        found = []
        entries.replace_one(place, last | {"call": "nobodyscall"})
        found.append(verify(stack))
        entries.delete_one(place)
        found.append(verify(stack))
        entries.insert_one(last)
        stray.mkdir()
        found.append(verify(stack))
        stray.rmdir()
    assert [(code, document["log"]["holds"]) for code, document in found] == [(1, False)] * 3
    assert verify(stack)[0] == 0
