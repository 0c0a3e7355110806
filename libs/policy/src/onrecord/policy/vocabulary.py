"""The closed vocabularies of policy: what may be said, how, why, and to whom."""

CALLER, AGENT = "caller", "agent"

OWN_PARTIES = frozenset({AGENT})
"""Parties who are the controller or one of its employees.

Without one of them in the call, keeping it is interception by a third party.
"""

RECORDED = "recorded"

ACTS = frozenset({RECORDED, "monitored", "intruded"})
"""What a notice can announce."""

METHODS = frozenset({"prompt", "tone", "spoken", "written"})
"""How a party can be told: a pre-recorded message, a warning tone, the operator, in writing."""

PURPOSES = frozenset(
    {"training", "supervision", "customer_service", "quality", "disputes", "regulation"}
)
"""What a recording can be for."""

GRADES = frozenset({"A", "B", "C", "D"})
"""The strength of a notice's evidence; each of these counts."""
