"""Page tokens: a place in one search, and nothing else."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.retrieval.domain.call import Call
from onrecord.retrieval.domain.paging import BadPageToken, Filters, Place, place_of, token_after
from unit.retrieval.factories import moment

FILTERS = st.builds(Filters, verdict=st.sampled_from(["", "failed"]), line=st.text(max_size=5))


@given(filters=FILTERS, call=st.text(max_size=30))
def test_a_token_leads_back_to_its_row(filters: Filters, call: str) -> None:
    """Whatever the id and the filters are."""
    token = token_after(Call(call, started_at=moment(1)), filters)
    assert place_of(token, filters) == Place(moment(1), call)


def test_a_token_of_another_search_is_refused() -> None:
    """Its place means nothing among other rows."""
    token = token_after(Call("c1", started_at=moment(1)), Filters(line="main"))
    with pytest.raises(BadPageToken, match="other filters"):
        place_of(token, Filters())


@given(text=st.text(max_size=60))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    """A made-up token is the caller's error, never ours."""
    with pytest.raises(BadPageToken):
        place_of(text, Filters())


@given(value=st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_any_json_in_a_token_is_refused(value: object) -> None:
    """Only the three texts of our own form are read."""
    token = base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    with pytest.raises(BadPageToken):
        place_of(token, Filters())
