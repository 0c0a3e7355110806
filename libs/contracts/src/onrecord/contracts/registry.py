"""Which class belongs to which event type, and the published form of each."""

from __future__ import annotations

from typing import Any

from onrecord.contracts import events
from onrecord.contracts.fact import Fact

FACTS: dict[str, type[Fact]] = {
    cls.TYPE: cls
    for cls in vars(events).values()
    if isinstance(cls, type) and issubclass(cls, Fact) and cls is not Fact
}
"""Every event type with the model of its fields."""


def fact_class(event_type: str) -> type[Fact]:
    """The model of this event type. Raises KeyError for a type that does not exist."""
    return FACTS[event_type]


def ce_type(event_type: str) -> str:
    """The CloudEvents type of an event, with the version of its schema."""
    return f"onrecord.{event_type}.v1"


def json_schema(cls: type[Fact]) -> dict[str, Any]:
    """The JSON Schema that is published for an event's fields, with example and sealed fields."""
    schema = cls.model_json_schema()
    schema["$id"] = ce_type(cls.TYPE)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["examples"] = [cls.EXAMPLE]
    schema["x-stream"] = cls.STREAM
    schema["x-appended-by"] = sorted(cls.APPENDED_BY)
    schema["x-sealed"] = cls.sealed_fields()
    return schema
