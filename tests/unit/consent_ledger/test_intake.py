"""Intake: good events pass, bad ones are refused by event and field, and no value leaks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgers import NOON, fact
from onrecord.consent_ledger.domain.entries import Head, assemble, open_draft
from onrecord.consent_ledger.domain.errors import BadEvent
from onrecord.consent_ledger.domain.intake import LEDGER, MAX_FIELDS, read_event
from onrecord.contracts.event import Event, format_time
from onrecord.contracts.registry import FACTS

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def wire(**changes: Any) -> dict[str, Any]:
    """The arguments of a good event, with `changes`."""
    return {
        "event_id": "c1:call.ended",
        "event_type": "call.ended",
        "stream": "call/c1",
        "call": "c1",
        "time": format_time(NOON),
        "fields_json": json.dumps(FACTS["call.ended"].EXAMPLE),
        "traceparent": TRACEPARENT,
        **changes,
    }


def test_a_good_event_passes() -> None:
    """What comes in is what the appender meant."""
    expected = fact("c1", "call.ended")
    assert read_event(**wire()) == Event(
        expected.event_id, expected.stream, "c1", expected.time, expected.fact, TRACEPARENT
    )


@pytest.mark.parametrize("event_type", [t for t, f in FACTS.items() if LEDGER not in f.APPENDED_BY])
def test_every_event_of_the_table_passes_with_its_example(event_type: str) -> None:
    """Each example fits its own type and stream."""
    stream = f"{FACTS[event_type].STREAM}/c1"
    fields = json.dumps(FACTS[event_type].EXAMPLE)
    event = read_event(
        **wire(
            event_id=f"c1:{event_type}:1", event_type=event_type, stream=stream, fields_json=fields
        )
    )
    assert event.type == event_type


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_id": ""}, "event_id"),
        ({"event_id": "c1 call"}, "event_id"),
        ({"event_id": "x" * 256}, "event_id"),
        ({"event_id": "c2:call.ended"}, "event_id"),
        ({"event_id": "c1:call.endedly"}, "event_id"),
        ({"event_id": "c1:call.verdict"}, "event_id"),
        ({"event_id": "c1:permit.issued:0"}, "event_id"),
        ({"event_type": "call.imagined"}, "type"),
        ({"event_type": "permit.issued"}, "type"),
        ({"event_type": "call.verdict"}, "type"),
        ({"stream": "call"}, "stream"),
        ({"stream": "call/../x"}, "stream"),
        ({"stream": "subject/c1"}, "stream"),
        ({"call": "c2"}, "call"),
        ({"call": ""}, "call"),
        ({"time": "2026-11-23T12:00:00Z"}, "time"),
        ({"time": "2026-13-23T12:00:00.000000Z"}, "time"),
        ({"time": "2026-1-3T1:2:3.5Z"}, "time"),
        ({"traceparent": "00-x"}, "traceparent"),
        ({"fields_json": ""}, "fields_json"),
        ({"fields_json": "[]"}, "fields_json"),
        ({"fields_json": "[" * 50_000}, "fields_json"),
        ({"fields_json": "NaN"}, "fields_json"),
        ({"fields_json": '{"talk_seconds": 1e400}'}, "fields_json"),
        ({"fields_json": json.dumps({"cause": "x" * MAX_FIELDS})}, "fields_json"),
        ({"fields_json": '{"cause": "x"}'}, "answered"),
        ({"fields_json": json.dumps({**FACTS["call.ended"].EXAMPLE, "mood": "sad"})}, "mood"),
    ],
)
def test_a_bad_event_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    """The error names the field that is wrong."""
    with pytest.raises(BadEvent) as caught:
        read_event(**wire(**change))
    assert caught.value.field == field


@pytest.mark.parametrize("year", ["0001", "0999", "9999"])
def test_whatever_time_passes_can_be_read_again(year: str) -> None:
    """An entry that cannot be read back would stop every reader of the log, for good."""
    event = read_event(**wire(time=f"{year}-01-01T00:00:00.000000Z"))
    (entry,) = assemble(Head(-1, None), {"call/c1": 0}, [open_draft(event)], NOON)
    assert format_time(entry.read().time) == event.time


def test_a_time_inside_the_fields_must_exist() -> None:
    """A unit that began at no time could not be counted into the verdict."""
    example = FACTS["recording.stored"].EXAMPLE
    units = [{**example["units"][0], "started_at": "2026-13-45T12:00:00.000000Z"}]  # type: ignore[index]
    with pytest.raises(BadEvent) as caught:
        read_event(
            **wire(
                event_id="c1:recording.stored:1:0",
                event_type="recording.stored",
                fields_json=json.dumps({**example, "units": units}),
            )
        )
    assert caught.value.field == "units.0.started_at"


def test_consent_may_stand_in_a_persons_stream() -> None:
    """What outlives the call belongs to the subject as well, with or without a call."""
    fields = json.dumps(FACTS["consent.given"].EXAMPLE)
    for call in ("c1", ""):
        event = read_event(
            **wire(event_type="consent.given", stream="subject/s1", call=call, fields_json=fields)
        )
        assert event.stream == "subject/s1"


def test_the_message_does_not_repeat_personal_values() -> None:
    """A number in a wrong place is not in the error's text."""
    started = {**FACTS["call.started"].EXAMPLE, "caller_number": ["+442079460123"]}
    change = {"event_id": "c1:call.started", "event_type": "call.started"}
    with pytest.raises(BadEvent) as caught:
        read_event(**wire(**change, fields_json=json.dumps(started)))
    assert "+442079460123" not in str(caught.value)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.text(max_size=30)
            for name in ("event_id", "event_type", "stream", "call", "time", "traceparent")
        }
        | {
            "fields_json": st.text()
            | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps)
        },
    )
)
def test_any_input_is_an_event_or_a_bad_event(change: dict[str, str]) -> None:
    """Nothing that comes in raises anything else."""
    try:
        read_event(**wire(**change))
    except BadEvent:
        return
