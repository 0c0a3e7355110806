"""From the facts of a call to what is owed to each party, and why."""

from dataclasses import dataclass
from datetime import date

from onrecord.policy.pack import Pack, Rule
from onrecord.policy.vocabulary import PURPOSES, RECORDED


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What a decision rests on.

    `parties` are those whose voices would be kept; `purposes` are the controller's, for this
    line; `language` (BCP 47) is the line's; `day` is the day of the call, in UTC.
    """

    parties: tuple[str, ...]
    purposes: tuple[str, ...]
    language: str
    day: date


@dataclass(frozen=True, slots=True)
class Obligation:
    """The duty to inform one party: how, in which language, of what and what for."""

    party: str
    method: str
    language: str
    acts: tuple[str, ...]
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the pack says about the call.

    `may_record` False means that no notice makes recording lawful here; `refused_by` is then the
    id of the rule. `accepted_methods` may stand in for each obligation's own method. `rules` are
    all that were read, with their citations. `retention` is an ISO 8601 duration.
    """

    pack: str
    pack_version: str
    rules: tuple[Rule, ...]
    obligations: tuple[Obligation, ...]
    accepted_methods: frozenset[str]
    may_record: bool
    refused_by: str
    retention: str

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The ids of the rules, each once, in the order read."""
        return tuple(dict.fromkeys(rule.id for rule in self.rules))


def decide(facts: CallFacts, pack: Pack) -> Decision:
    """Say what is owed to each party of the call before it may be recorded.

    Every party is owed a notice that names the recording, whatever the pack lists: that much is
    the floor. Recording is refused when a purpose is none that the pack allows, when there is no
    purpose or no party at all, and when a rule is not in force on the day.
    """
    purposes, methods, acts, retention = (
        pack.rules[field] for field in ("purposes", "methods", "acts", "retention")
    )
    rules = (purposes, methods, acts, retention)
    refused_by = _refused_by(facts, purposes, rules)
    announced = (RECORDED, *(act for act in acts.value if act != RECORDED))
    return Decision(
        pack=pack.id,
        pack_version=pack.version,
        rules=rules,
        obligations=tuple(
            Obligation(party, methods.value[0], facts.language, announced, facts.purposes)
            for party in facts.parties
        ),
        accepted_methods=frozenset(methods.value),
        may_record=not refused_by,
        refused_by=refused_by,
        retention=retention.value[0],
    )


def _refused_by(facts: CallFacts, purposes: Rule, rules: tuple[Rule, ...]) -> str:
    for rule in rules:
        if not rule.in_force(facts.day):
            return rule.id
    allowed = PURPOSES.intersection(purposes.value)
    if not facts.purposes or not allowed.issuperset(facts.purposes):
        return purposes.id
    return "" if facts.parties else "FLOOR"
