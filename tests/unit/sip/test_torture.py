"""The cases of RFC 4475, one file each: what answers them, and that OPTIONS is answered after."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from onrecord.sip.events import IncomingInvite
from unit.sip.test_endpoint import PEER, endpoint, still_answers

FOLDER = Path(__file__).parents[2] / "data" / "sip"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", EXPECTED)
def test_torture(name: str) -> None:
    """The answer, the event or the silence that stands beside the message."""
    target = endpoint()
    target.receive_message((FOLDER / f"{name}.sip").read_bytes(), PEER, 0.0)
    # Only the status line: what had to be copied may be as broken as it came.
    statuses = [int(sent.split()[1]) for sent, _ in target.messages_to_send()]
    event = target.next_event()
    match EXPECTED[name]["outcome"]:
        case "call":
            assert (statuses, type(event)) == ([100], IncomingInvite)
        case "dropped":
            assert not statuses
            assert sum(target.dropped.values()) == 1
        case "ignored":
            assert not statuses
            assert target.dropped == {"unmatched_response": 1}
        case status:
            assert (statuses, event) == ([status], None)
    assert still_answers(target)


def test_each_file_has_its_outcome() -> None:
    """No message without an expectation, and none the other way round."""
    assert {path.stem for path in FOLDER.glob("*.sip")} == set(EXPECTED)
