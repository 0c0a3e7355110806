"""Packs: read strictly, and every shipped value carries its grounds."""

from datetime import date
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.policy import PolicyError, default_pack, load_pack, parse_pack

SHIPPED = [f.name for f in resources.files("onrecord.policy").joinpath("packs").iterdir()]
UK = resources.files("onrecord.policy").joinpath("packs", "uk.toml").read_text()


@pytest.mark.parametrize("file", SHIPPED)
def test_every_shipped_value_says_where_it_comes_from(file: str) -> None:
    """Each rule of each shipped pack has citation, address and confidence."""
    pack = load_pack(file.removesuffix(".toml"))
    assert f"{pack.id}.toml" == file
    for rule in pack.rules.values():
        assert rule.citation
        assert rule.source_url.startswith("https://")
        assert (rule.retrieved is None) == (rule.confidence == "unread")


def test_a_rule_holds_between_its_dates() -> None:
    """First and last day count, the days around them do not."""
    rule = parse_pack(
        UK.replace('value = "P6M"', 'value = "P6M"\neffective_to = 2020-01-01')
    ).rules["retention"]
    assert rule.in_force(date(2018, 5, 25))
    assert not rule.in_force(date(2018, 5, 24))
    assert rule.in_force(date(2020, 1, 1))
    assert not rule.in_force(date(2020, 1, 2))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('id = "uk"', 'id = "UK"', "id must be"),
        ('version = "1"', "version = 1", "version"),
        ('version = "1"', 'version = "1"\nextra = 1', "nothing else"),
        ('value = "P6M"', 'value = ["recorded"]', "duration"),
        ('field = "retention"', 'field = "colour"', "field is one of"),
        ('value = "P6M"', 'value = "half a year"', "duration"),
        ('value = ["recorded"]', 'value = ["recorded", "sung"]', "value lists"),
        ('value = ["recorded"]', "value = [1]", "value lists"),
        ('value = ["recorded"]', "value = []", "value lists"),
        ('confidence = "unread"', 'confidence = "sure"', "confidence"),
        ('confidence = "unread"', 'confidence = "unread"\nretrieved = 2020-01-01', "unread"),
        ('confidence = "unread"', 'confidence = "source"', "retrieved"),
        ("effective_from = 2018-05-25", "effective_from = 2018-05-25T00:00:00Z", "effective_from"),
        ('citation = "UK GDPR Art 5(1)(e)"', 'citation = ""', "citation"),
        ('citation = "UK GDPR Art 5(1)(e)"', "", "citation"),
        ('id = "UK-GDPR-5"', 'id = "UK-GDPR-5"\nnote = "x"', "known"),
        ('id = "uk"', "id = ", "not TOML"),
    ],
)
def test_a_wrong_pack_is_refused_with_the_place(old: str, new: str, says: str) -> None:
    """The error names the pack's rule and what is wrong with it."""
    assert old in UK
    with pytest.raises(PolicyError, match=says):
        parse_pack(UK.replace(old, new, 1))


@pytest.mark.parametrize("name", ["nowhere", "../uk", "", "UK"])
def test_an_unknown_pack_is_refused(name: str) -> None:
    """A pack that is not shipped, or no pack's name at all, is an error."""
    with pytest.raises(PolicyError):
        load_pack(name)


@given(st.text(max_size=200), st.integers(0, len(UK)))
def test_any_text_is_a_pack_or_a_clear_error(text: str, place: int) -> None:
    """Garbage in a pack's text never gives anything but PolicyError."""
    for candidate in (text, UK[:place] + text + UK[place:]):
        try:
            parse_pack(candidate)
        except PolicyError:
            continue


def test_the_default_pack_is_the_uks() -> None:
    """Only the UK pack is shipped, so it is used for any place."""
    assert default_pack().id == "uk"
