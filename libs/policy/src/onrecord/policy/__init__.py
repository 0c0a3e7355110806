"""Rules about recording, as data with citations, and what they mean for one call.

`decide` turns the facts of a call and a rule pack into obligations; `may_open` judges committed
evidence against them. Both are pure. The floor is code: no pack lowers it.

Emergency calls and unrecorded lines are settled by signalling's routes and never come here.
"""

from onrecord.policy.decision import CallFacts, Decision, Obligation, decide
from onrecord.policy.gate import Notice, Opening, may_open
from onrecord.policy.pack import Pack, PolicyError, Rule, default_pack, load_pack, parse_pack

__all__ = [
    "CallFacts",
    "Decision",
    "Notice",
    "Obligation",
    "Opening",
    "Pack",
    "PolicyError",
    "Rule",
    "decide",
    "default_pack",
    "load_pack",
    "may_open",
    "parse_pack",
]
