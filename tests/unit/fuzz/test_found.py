"""What fuzzers start from and what they found: each parser takes it or refuses it properly."""

from __future__ import annotations

import pytest
from fuzz.seeds import FOUND, found, seeds
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_found_inputs(name: str) -> None:
    """Nothing but what the parser promises; a found input never breaks it again."""
    inputs = seeds(name)
    assert inputs
    for octets in inputs:
        TARGETS[name](octets)


def test_every_found_input_has_its_parser() -> None:
    """No folder that nobody reads."""
    assert {path.name for path in FOUND.glob("*")} <= TARGETS.keys()
    assert all(found(path.name) for path in FOUND.glob("*"))
