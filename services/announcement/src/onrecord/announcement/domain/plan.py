"""The plan of notices: which prompt fulfils an obligation, or why none does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onrecord.announcement.domain.prompt import Prompt
from onrecord.contracts.events import Act, Party, Purpose


@dataclass(frozen=True)
class Obligation:
    """A duty to inform one party, as policy decided it: the words must say at least this much."""

    party: Party
    leg: Party
    method: str
    language: str
    acts: frozenset[Act]
    purposes: frozenset[Purpose]


@dataclass(frozen=True)
class NoPrompt:
    """No approved prompt fulfils the obligation; `reason` is a closed slug."""

    reason: str


def plan(obligation: Obligation, prompts: Sequence[Prompt]) -> Prompt | NoPrompt:
    """Choose the prompt that says all that must be said and the least beyond it.

    Of equals the newest version wins, then the first id. The language must be the one asked for:
    a party who does not understand the words was not told.
    """
    if obligation.method != "prompt":
        return NoPrompt("method_unknown")
    found = [prompt for prompt in prompts if prompt.party == obligation.party]
    if not found:
        return NoPrompt("no_prompt_for_party")
    found = [p for p in found if p.language.lower() == obligation.language.lower()]
    if not found:
        return NoPrompt("no_prompt_in_language")
    found = [prompt for prompt in found if prompt.acts >= obligation.acts]
    if not found:
        return NoPrompt("no_prompt_names_acts")
    found = [prompt for prompt in found if prompt.purposes >= obligation.purposes]
    if not found:
        return NoPrompt("no_prompt_names_purposes")
    return min(found, key=lambda p: (len(p.acts) + len(p.purposes), -p.version, p.id))
