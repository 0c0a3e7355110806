"""Decisions: what the shipped pack means for a call, and that no pack lowers the floor."""

import dataclasses
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.policy import CallFacts, Notice, Pack, decide, default_pack, load_pack, may_open
from onrecord.policy.vocabulary import ACTS, METHODS, PURPOSES

FACTS = CallFacts(("caller", "agent"), ("quality",), "en-GB", date(2026, 11, 23))


def notice(party: str, **changes: object) -> Notice:
    """Make a counted notice for `party`, with `changes`."""
    base = Notice(
        f"c:{party}", party, "prompt", "en-GB", "B", frozenset({"recorded"}), frozenset({"quality"})
    )
    return dataclasses.replace(base, **changes)


BOTH = (notice("caller"), notice("agent"))


def pack_with(**values: tuple[str, ...]) -> Pack:
    """Make the UK pack with other values."""
    pack = default_pack()
    rules = {
        field: dataclasses.replace(rule, value=values.get(field, rule.value))
        for field, rule in pack.rules.items()
    }
    return Pack(pack.id, pack.version, rules)


def test_the_uk_pack_owes_each_party_a_message() -> None:
    """In the UK both parties are told by a message, in the line's language, for its purposes."""
    decision = decide(FACTS, load_pack("uk"))
    assert decision.may_record
    assert [(o.party, o.method, o.language, o.acts, o.purposes) for o in decision.obligations] == [
        ("caller", "prompt", "en-GB", ("recorded",), ("quality",)),
        ("agent", "prompt", "en-GB", ("recorded",), ("quality",)),
    ]
    assert (decision.pack, decision.pack_version, decision.retention) == ("uk", "1", "P6M")
    assert decision.rule_ids == ("UK-IBR-3", "UK-IBR-4-METHODS", "UK-IBR-4", "UK-GDPR-5")
    assert all(rule.citation for rule in decision.rules)


@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (dataclasses.replace(FACTS, purposes=()), "UK-IBR-3"),
        (dataclasses.replace(FACTS, purposes=("quality", "curiosity")), "UK-IBR-3"),
        (dataclasses.replace(FACTS, day=date(2018, 6, 26)), "UK-IBR-3"),
        (dataclasses.replace(FACTS, parties=()), "FLOOR"),
    ],
)
def test_recording_is_refused_by_a_named_rule(facts: CallFacts, rule: str) -> None:
    """No purpose, a foreign purpose, a rule not in force, nobody there: each names its rule."""
    decision = decide(facts, default_pack())
    assert (decision.may_record, decision.refused_by) == (False, rule)
    assert may_open(decision, BOTH, {"caller", "agent"}, ()).reason == "not_allowed"


@pytest.mark.parametrize(
    ("field", "value", "facts", "evidence", "reason"),
    [
        ("purposes", ("training",), FACTS, BOTH, "not_allowed"),
        ("methods", ("written",), FACTS, BOTH, "party_not_told"),
        ("acts", ("recorded", "monitored"), FACTS, BOTH, "purpose_not_told"),
    ],
)
def test_each_field_of_a_pack_changes_a_call(
    field: str, value: tuple[str, ...], facts: CallFacts, evidence: tuple[Notice, ...], reason: str
) -> None:
    """A stricter value in a pack shuts a gate that the shipped value opens."""
    parties = {"caller", "agent"}
    assert may_open(decide(facts, default_pack()), evidence, parties, ()).allowed
    stricter = decide(facts, pack_with(**{field: value}))
    assert may_open(stricter, evidence, parties, ()).reason == reason


def test_the_retention_is_the_packs() -> None:
    """The pack's duration is the decision's."""
    assert decide(FACTS, pack_with(retention=("P5Y",))).retention == "P5Y"


@pytest.mark.parametrize(
    ("evidence", "present", "objections", "reason"),
    [
        ((), {"caller", "agent"}, (), "party_not_told"),
        (BOTH[:1], {"caller", "agent"}, (), "party_not_told"),
        (BOTH[1:], {"caller", "agent"}, (), "party_not_told"),
        (BOTH, {"caller"}, (), "no_own_party"),
        (BOTH, set(), (), "no_own_party"),
        (BOTH, {"caller", "agent"}, {"caller"}, "objection"),
        (BOTH, {"caller", "agent", "interpreter"}, (), "party_not_told"),
        (
            (notice("caller", acts=frozenset({"monitored"})), BOTH[1]),
            {"caller", "agent"},
            (),
            "party_not_told",
        ),
        ((notice("caller", grade="E"), BOTH[1]), {"caller", "agent"}, (), "party_not_told"),
        ((notice("caller", method="rumour"), BOTH[1]), {"caller", "agent"}, (), "party_not_told"),
        ((notice("caller", language="fr-FR"), BOTH[1]), {"caller", "agent"}, (), "party_not_told"),
        ((notice("caller", language=""), BOTH[1]), {"caller", "agent"}, (), "party_not_told"),
        (
            (notice("caller", purposes=frozenset({"training"})), BOTH[1]),
            {"caller", "agent"},
            (),
            "purpose_not_told",
        ),
    ],
)
def test_the_gate_stays_shut(
    evidence: tuple[Notice, ...], present: set[str], objections: tuple[str, ...], reason: str
) -> None:
    """Each lack keeps the gate shut under its own reason."""
    opening = may_open(decide(FACTS, default_pack()), evidence, present, objections)
    assert (opening.allowed, opening.reason, opening.relied_on) == (False, reason, ())


def test_the_strongest_notice_is_relied_on() -> None:
    """Of several notices to one party the best grade counts, and one per party is named."""
    weak, strong = (
        notice("caller", event_id="w", grade="D"),
        notice("caller", event_id="s", grade="A"),
    )
    opening = may_open(
        decide(FACTS, default_pack()), (weak, strong, BOTH[1]), {"caller", "agent"}, ()
    )
    assert opening.relied_on == ("c:agent", "s")


WORDS = st.sampled_from


@given(
    facts=st.builds(
        CallFacts,
        parties=st.lists(WORDS(["caller", "agent", "other"]), unique=True).map(tuple),
        purposes=st.lists(WORDS([*sorted(PURPOSES), "none"]), unique=True).map(tuple),
        language=st.just("en-GB"),
        day=st.dates(date(2017, 1, 1), date(2030, 1, 1)),
    ),
    pack=st.builds(
        pack_with,
        purposes=st.lists(WORDS(sorted(PURPOSES)), unique=True).map(tuple),
        methods=st.lists(WORDS([*sorted(METHODS), "none"]), unique=True, min_size=1).map(tuple),
        acts=st.lists(WORDS(sorted(ACTS)), unique=True).map(tuple),
    ),
    evidence=st.lists(
        st.builds(
            Notice,
            event_id=st.uuids().map(str),
            party=WORDS(["caller", "agent", "other"]),
            method=WORDS([*sorted(METHODS), "none"]),
            language=WORDS(["en-GB", "EN-gb", "cy-GB"]),
            grade=WORDS("ABCDE"),
            acts=st.frozensets(WORDS(sorted(ACTS))),
            purposes=st.frozensets(WORDS(sorted(PURPOSES))),
        ),
        max_size=6,
    ),
    present=st.frozensets(WORDS(["caller", "agent", "other"])),
    objections=st.frozensets(WORDS(["caller", "agent"])),
)
def test_no_configuration_opens_below_the_floor(
    facts: CallFacts,
    pack: Pack,
    evidence: list[Notice],
    present: frozenset[str],
    objections: frozenset[str],
) -> None:
    """Whatever pack and facts: an open gate means all told, an own party there, no objection."""
    opening = may_open(decide(facts, pack), evidence, present, objections)
    if not opening.allowed:
        assert opening.reason
        return
    relied_on = {n.party: n for n in evidence if n.event_id in opening.relied_on}
    assert not objections
    assert "agent" in present
    assert relied_on.keys() == present
    for told in relied_on.values():
        assert "recorded" in told.acts
        assert told.grade in "ABCD"
        assert told.method in METHODS
    owed = decide(facts, pack).obligations
    assert all(relied_on[o.party].language != "cy-GB" for o in owed if o.party in present)
