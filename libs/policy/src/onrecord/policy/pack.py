"""Rule packs: cited rules as TOML data, read strictly.

A pack has an id, a version and one `[[rule]]` for each value. Every rule says where it was read,
since when it holds, how sure we are and who reviewed it; an empty `reviewed_by` means nobody has.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Any

from onrecord.policy.vocabulary import ACTS, METHODS, PURPOSES

_CONFIDENCE = frozenset({"source", "secondary", "unread"})
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,31}")
_DURATION = re.compile(r"P[1-9][0-9]{0,3}[DWMY]")
_RULE_TEXTS = ("id", "citation", "source_url", "confidence", "reviewed_by")
_RULE_MEMBERS = frozenset(
    {*_RULE_TEXTS, "field", "value", "retrieved", "effective_from", "effective_to"}
)


class PolicyError(ValueError):
    """A pack that cannot be used; the text names the pack, the rule and the member."""

    reason = "bad_pack"
    retryable = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One value of a pack, with its grounds.

    `confidence`: `source` (read at `source_url` on `retrieved`), `secondary` (read in a page that
    reports it), `unread` (general knowledge, to be confirmed by a person; `retrieved` is None).
    """

    id: str
    field: str
    value: tuple[str, ...]
    citation: str
    source_url: str
    retrieved: date | None
    effective_from: date
    effective_to: date | None
    confidence: str
    reviewed_by: str

    def in_force(self, day: date) -> bool:
        """Whether the rule holds on this day, the last one included."""
        return self.effective_from <= day and (
            self.effective_to is None or day <= self.effective_to
        )


@dataclass(frozen=True, slots=True)
class Pack:
    """All rules of one regime.

    `rules` has one rule for each field: `purposes` (that may be recorded for), `methods` (of
    notice that are accepted, the first to be used), `acts` (that a notice must announce),
    `retention` (one ISO 8601 duration).
    """

    id: str
    version: str
    rules: Mapping[str, Rule]


def default_pack() -> Pack:
    """Give the pack for any line and any place.

    Only the UK's is shipped, so it is also the strictest of those declared: a call that touches
    another country is not judged by that country's rules.
    """
    return load_pack("uk")


def load_pack(pack_id: str) -> Pack:
    """Read a shipped pack by its id. Raises PolicyError when there is none or it is broken."""
    if not _SLUG.fullmatch(pack_id):
        raise PolicyError(f"{pack_id!r} is not the id of a pack")
    file = resources.files("onrecord.policy").joinpath("packs", f"{pack_id}.toml")
    if not file.is_file():
        raise PolicyError(f"there is no pack {pack_id!r}")
    return parse_pack(file.read_text(encoding="utf-8"))


def parse_pack(text: str) -> Pack:
    """Read a pack's TOML. Raises PolicyError for anything unknown, missing or twice."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PolicyError(f"not TOML: {error}") from error
    if document.keys() != {"id", "version", "rule"}:
        raise PolicyError("a pack has id, version and [[rule]] entries, nothing else")
    pack_id, version, entries = document["id"], document["version"], document["rule"]
    if not isinstance(pack_id, str) or not _SLUG.fullmatch(pack_id):
        raise PolicyError("id must be a lower-case word")
    if not isinstance(version, str) or not version:
        raise PolicyError(f"pack {pack_id}: version must be text")
    if not isinstance(entries, list):
        raise PolicyError(f"pack {pack_id}: rules are written as [[rule]]")
    rules = [_rule(pack_id, number, entry) for number, entry in enumerate(entries, start=1)]
    fields = sorted(rule.field for rule in rules)
    if fields != sorted(_VALUES):
        raise PolicyError(
            f"pack {pack_id}: one rule for each of {', '.join(sorted(_VALUES))}, "
            f"not {', '.join(fields)}"
        )
    return Pack(pack_id, version, {rule.field: rule for rule in rules})


def _rule(pack_id: str, number: int, entry: Any) -> Rule:
    where = f"pack {pack_id}, rule {number}"
    if not isinstance(entry, dict) or not entry.keys() <= _RULE_MEMBERS:
        raise PolicyError(f"{where}: only {', '.join(sorted(_RULE_MEMBERS))} are known")
    texts = {name: entry.get(name) for name in (*_RULE_TEXTS, "field")}
    for name, text in texts.items():
        if not isinstance(text, str) or (not text and name != "reviewed_by"):
            raise PolicyError(f"{where}: {name} must be text")
    if texts["confidence"] not in _CONFIDENCE:
        raise PolicyError(f"{where}: confidence is one of {', '.join(sorted(_CONFIDENCE))}")
    if texts["field"] not in _VALUES:
        raise PolicyError(f"{where}: field is one of {', '.join(sorted(_VALUES))}")
    if texts["confidence"] == "unread" and "retrieved" in entry:
        raise PolicyError(f"{where}: what is unread was not retrieved")
    return Rule(
        id=entry["id"],
        field=entry["field"],
        value=_VALUES[entry["field"]](where, entry.get("value")),
        citation=entry["citation"],
        source_url=entry["source_url"],
        retrieved=None if entry["confidence"] == "unread" else _day(where, entry, "retrieved"),
        effective_from=_day(where, entry, "effective_from"),
        effective_to=_day(where, entry, "effective_to") if "effective_to" in entry else None,
        confidence=entry["confidence"],
        reviewed_by=entry["reviewed_by"],
    )


def _day(where: str, entry: dict[str, Any], name: str) -> date:
    value = entry.get(name)
    # A TOML date-time is a datetime, which is a date as well; only whole days are meant.
    if type(value) is not date:
        raise PolicyError(f"{where}: {name} must be a date such as 2018-06-27")
    return value


def _words(allowed: frozenset[str]) -> Callable[[str, Any], tuple[str, ...]]:
    def read(where: str, value: Any) -> tuple[str, ...]:
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(word, str) for word in value)
            or not allowed.issuperset(value)
            or len(set(value)) != len(value)
        ):
            raise PolicyError(f"{where}: value lists some of {', '.join(sorted(allowed))}")
        return tuple(value)

    return read


def _duration(where: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise PolicyError(f"{where}: value must be a duration such as P6M")
    return (value,)


_VALUES: dict[str, Callable[[str, Any], tuple[str, ...]]] = {
    "purposes": _words(PURPOSES),
    "methods": _words(METHODS),
    "acts": _words(ACTS),
    "retention": _duration,
}
