"""The gate: whether the committed evidence allows recording to start.

The floor stands here in code: every party present has at least one notice on record, by an
accepted method and in the language owed, that says the call is recorded; one of the parties is our
own; nobody objected.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from onrecord.policy.decision import Decision, Obligation
from onrecord.policy.vocabulary import GRADES, METHODS, OWN_PARTIES, RECORDED


@dataclass(frozen=True, slots=True)
class Notice:
    """A committed `notice.given`: who was told what, how, and how strong the evidence is.

    `language` is a BCP 47 tag.
    """

    event_id: str
    party: str
    method: str
    language: str
    grade: str
    acts: frozenset[str]
    purposes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether recording may start.

    When it may, `reason` is empty and `relied_on` are the event ids of one notice per party. When
    not, `reason` is one of `not_allowed`, `objection`, `no_own_party`, `party_not_told`,
    `purpose_not_told`.
    """

    allowed: bool
    reason: str
    relied_on: tuple[str, ...]


def may_open(
    decision: Decision,
    evidence: Sequence[Notice],
    parties_present: Collection[str],
    objections: Collection[str],
) -> Opening:
    """Judge the evidence on record for the parties who are in the call now.

    `objections` are the parties who said no and did not take it back: any of them shuts the gate
    for all, whether or not still present. The strongest notice of each party is relied on, the
    earliest of equals.
    """
    if not decision.may_record:
        return _refused("not_allowed")
    if objections:
        return _refused("objection")
    if OWN_PARTIES.isdisjoint(parties_present):
        return _refused("no_own_party")
    owed = {obligation.party: obligation for obligation in decision.obligations}
    relied_on: list[str] = []
    for party in sorted(parties_present):
        # A party that nobody decided about has joined since: owed at least the floor.
        duty = owed.get(party)
        told = [
            notice
            for notice in evidence
            if notice.party == party and _counts(notice, decision) and _understood(notice, duty)
        ]
        covering = [notice for notice in told if _covers(notice, duty)]
        if not covering:
            return _refused("purpose_not_told" if told else "party_not_told")
        relied_on.append(min(covering, key=lambda notice: notice.grade).event_id)
    return Opening(True, "", tuple(relied_on))


def _counts(notice: Notice, decision: Decision) -> bool:
    """The floor for one notice; a pack can only narrow the methods, never add one."""
    return (
        RECORDED in notice.acts
        and notice.grade in GRADES
        and notice.method in METHODS & decision.accepted_methods
    )


def _understood(notice: Notice, obligation: Obligation | None) -> bool:
    """Whether the notice speaks the language owed; tags know no case (RFC 5646 §2.1.1)."""
    return obligation is None or notice.language.lower() == obligation.language.lower()


def _covers(notice: Notice, obligation: Obligation | None) -> bool:
    if obligation is None:
        return True
    return notice.acts.issuperset(obligation.acts) and notice.purposes.issuperset(
        obligation.purposes
    )


def _refused(reason: str) -> Opening:
    return Opening(False, reason, ())
