"""The plan chooses the prompt that says what is owed, or says why none does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.announcement.domain.plan import NoPrompt, plan
from onrecord.announcement.domain.prompt import Prompt
from unit.announcement.factories import a_prompt, an_obligation

ACTS = st.frozensets(st.sampled_from(["recorded", "monitored", "intruded"]))
PURPOSES = st.frozensets(st.sampled_from(["training", "quality", "disputes"]))
PROMPTS = st.lists(
    st.builds(
        a_prompt,
        id=st.sampled_from(["a", "b", "c"]),
        version=st.integers(1, 3),
        party=st.sampled_from(["caller", "agent"]),
        language=st.sampled_from(["en-GB", "de-DE"]),
        acts=ACTS,
        purposes=PURPOSES,
    ),
    max_size=6,
)


def test_a_prompt_that_says_what_is_owed_is_chosen() -> None:
    """The words name the acts and purposes, for the party, in the language."""
    assert plan(an_obligation(), [a_prompt()]) == a_prompt()


def test_the_language_tag_is_compared_without_regard_to_case() -> None:
    """BCP 47 tags are case-insensitive (RFC 5646 section 2.1.1)."""
    assert plan(an_obligation(language="EN-gb"), [a_prompt()]) == a_prompt()


@pytest.mark.parametrize(
    ("owed", "reason"),
    [
        ({"method": "tone"}, "method_unknown"),
        ({"party": "agent"}, "no_prompt_for_party"),
        ({"language": "de-DE"}, "no_prompt_in_language"),
        ({"acts": frozenset({"recorded", "monitored"})}, "no_prompt_names_acts"),
        ({"purposes": frozenset({"disputes"})}, "no_prompt_names_purposes"),
    ],
)
def test_the_reason_names_what_no_prompt_says(owed: dict[str, object], reason: str) -> None:
    """Each way in which the approved prompts fall short has its own reason."""
    assert plan(an_obligation(**owed), [a_prompt()]) == NoPrompt(reason)


def test_of_several_the_one_that_says_least_beyond_the_duty_is_chosen() -> None:
    """A party is not told of more than happens to it."""
    more = a_prompt(id="a-more", acts=frozenset({"recorded", "monitored"}), version=9)
    assert plan(an_obligation(), [more, a_prompt()]) == a_prompt()


def test_of_equals_the_newest_version_is_chosen() -> None:
    """New words replace old ones as soon as they are approved."""
    newer = a_prompt(version=2)
    assert plan(an_obligation(), [a_prompt(), newer]) == newer


@given(prompts=PROMPTS, acts=ACTS, purposes=PURPOSES, party=st.sampled_from(["caller", "agent"]))
def test_what_is_chosen_says_all_that_is_owed(
    prompts: list[Prompt], acts: frozenset[str], purposes: frozenset[str], party: str
) -> None:
    """Whatever the catalogue holds, a chosen prompt covers the duty, and none is overlooked."""
    owed = an_obligation(party=party, acts=acts, purposes=purposes)
    fitting = [
        prompt
        for prompt in prompts
        if prompt.party == party
        and prompt.language == "en-GB"
        and prompt.acts >= acts
        and prompt.purposes >= purposes
    ]
    chosen = plan(owed, prompts)
    assert chosen in fitting if fitting else isinstance(chosen, NoPrompt)
