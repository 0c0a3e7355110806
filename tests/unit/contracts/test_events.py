"""The event table: every example fits its model, and sealed fields are marked for what they are."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.contracts.entry import Entry, MalformedEntry
from onrecord.contracts.event import format_time, parse_time
from onrecord.contracts.events import CallStarted
from onrecord.contracts.fact import Fact
from onrecord.contracts.registry import FACTS, ce_type, fact_class, json_schema
from onrecord.contracts.topics import topic_of
from pydantic import ValidationError

PERSONAL = {
    "caller_number",
    "callee_number",
    "caller_name",
    "callee_name",
    "number",
    "person",
    "actor",
}


@pytest.mark.parametrize("cls", FACTS.values(), ids=FACTS.keys())
def test_every_example_is_valid_and_survives_json(cls: type[Fact]) -> None:
    """The published example is accepted and reads back as the same fact."""
    fact = cls.model_validate(cls.EXAMPLE)
    assert cls.model_validate_json(fact.model_dump_json(exclude_none=True)) == fact


@pytest.mark.parametrize("cls", FACTS.values(), ids=FACTS.keys())
def test_personal_fields_are_sealed(cls: type[Fact]) -> None:
    """A field whose name says that it names a person is never open."""
    assert PERSONAL & cls.model_fields.keys() <= cls.sealed_fields().keys()
    assert json_schema(cls)["x-sealed"] == cls.sealed_fields()


def test_a_writer_may_not_add_fields() -> None:
    """An unknown field is an error for the writer, with the field's name."""
    with pytest.raises(ValidationError, match="shoe_size"):
        CallStarted.model_validate(CallStarted.EXAMPLE | {"shoe_size": 44})


def test_the_topic_follows_the_stream() -> None:
    """Calls, consents and audit have a topic each; an unknown kind has none."""
    assert topic_of("call/1") == "onrecord.calls"
    assert topic_of("subject/1") == topic_of("notice/1") == "onrecord.consents"
    assert topic_of("recording/1") == topic_of("policy/1") == "onrecord.audit"
    with pytest.raises(KeyError):
        topic_of("other/1")


def test_names_and_versions() -> None:
    """A type is found by its name, and its CloudEvents type carries the version."""
    assert fact_class("call.started") is CallStarted
    assert ce_type("call.started") == "onrecord.call.started.v1"


@given(st.datetimes())
def test_times_read_back(moment: datetime) -> None:
    """Every moment is written in the one form and reads back exactly."""
    if moment.year >= 1000:
        stamped = moment.replace(tzinfo=UTC)
        assert parse_time(format_time(stamped)) == stamped


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_an_entry_or_a_clear_error(value: object) -> None:
    """A Kafka value of any JSON shape is read or refused as malformed, nothing else."""
    for body in (value, {"canonical": value, "sealed": {}}):
        with pytest.raises(MalformedEntry):
            Entry.from_kafka(json.dumps(body).encode())


@given(st.binary())
def test_any_bytes_are_an_entry_or_a_clear_error(value: bytes) -> None:
    """A Kafka value of any bytes is refused as malformed, nothing else."""
    with pytest.raises(MalformedEntry):
        Entry.from_kafka(value)
