"""How a person names a call on the command line."""

from __future__ import annotations

import pytest
from onrecord.standalone.errors import BadRequest
from onrecord.standalone.naming import call_named

NEWEST_FIRST = ["01a20bff", "01a20b17", "01a1ffff"]


@pytest.mark.parametrize(
    ("reference", "call"),
    [("last", "01a20bff"), ("01a1", "01a1ffff"), ("01a20b17", "01a20b17")],
)
def test_a_call_is_named_by_its_id_its_beginning_or_as_the_last(reference: str, call: str) -> None:
    """What only one call begins with is enough."""
    assert call_named(reference, NEWEST_FIRST) == call


@pytest.mark.parametrize(
    ("reference", "said"),
    [("01a20b", "01a20b begins 2 calls:\n  01a20bff"), ("02", "no call begins"), ("", "no call")],
)
def test_a_name_that_does_not_fit_one_call_is_refused(reference: str, said: str) -> None:
    """The error lists those it may mean."""
    with pytest.raises(BadRequest, match=said):
        call_named(reference, NEWEST_FIRST)


def test_there_is_no_last_call_before_the_first() -> None:
    """Nothing is guessed."""
    with pytest.raises(BadRequest, match="there is no call yet"):
        call_named("last", [])
