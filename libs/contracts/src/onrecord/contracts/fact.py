"""What every fact has in common: a type, a stream, and fields of which some are sealed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from onrecord.contracts.instant import PATTERN, existing
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

StreamKind = Literal["call", "subject", "recording", "notice", "policy"]
Service = Literal["signalling", "media-recorder", "announcement", "consent-ledger", "retrieval"]

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""A word of a closed vocabulary, such as a cause or a reason."""

Text = Annotated[str, StringConstraints(max_length=256)]
"""A short text; bounded, because an entry must stay below 64 KiB."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hexadecimal."""

Time = Annotated[str, StringConstraints(pattern=PATTERN), AfterValidator(existing)]
"""UTC in RFC 3339 with six fraction digits, as `onrecord.contracts.event.format_time` writes it."""


@dataclass(frozen=True)
class Sealed:
    """Marks a field as personal: encrypted under the key of this party of the event's stream."""

    party: str


class Fields(BaseModel):
    """A frozen, strict value inside a fact: unknown fields are an error for the writer."""

    # Values may be personal: they stay out of error messages, which end up in logs and spans.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Fact(Fields):
    """Something that happened, in the past tense: the base of every event's fields.

    The class says what the event table says: `TYPE` (without the `onrecord.` and `.v1` of its
    CloudEvents type), the kind of stream that it belongs to, and who appends it.
    """

    TYPE: ClassVar[str]
    STREAM: ClassVar[StreamKind] = "call"
    APPENDED_BY: ClassVar[frozenset[Service]]
    EXAMPLE: ClassVar[dict[str, object]]

    @property
    def appenders(self) -> frozenset[Service]:
        """The services that may append this very fact; for most, all that its class names."""
        return self.APPENDED_BY

    @classmethod
    def sealed_fields(cls) -> dict[str, str]:
        """Names of the personal fields, each with the party whose key seals it."""
        return {
            name: mark.party
            for name, field in cls.model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Sealed)
        }
