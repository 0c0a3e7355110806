"""The descriptions of a call whose media does not pass us: each goes to the other side as it is."""

from __future__ import annotations

from onrecord.signalling.domain import effects as do
from onrecord.signalling.domain import inputs as on
from onrecord.signalling.domain.inputs import Party


class DirectSession:
    """One exchange at a time; the side that comes second is told to wait (491)."""

    is_held = False
    """Nothing is kept of such a call, so nobody need know."""

    def __init__(self) -> None:
        self._offerer: Party | None = None
        self._answers_by_ack = False

    def handle(self, happening: on.Exchange, *, may_change: bool) -> list[do.Effect]:
        """Pass one step of an exchange on; `may_change` False refuses new ones."""
        match happening:
            case on.Reoffered(party) if self._offerer is not None or not may_change:
                return [do.Refuse(party, 491)]
            case on.Reoffered(party, body):
                self._offerer, self._answers_by_ack = party, not body
                return [do.Reoffer(other(party), body)]
            case on.ReofferAnswered(party, body) if self._offerer == other(party):
                if not self._answers_by_ack:
                    self._offerer = None
                return [do.Answer(other(party), body)]
            case on.ReofferRefused(party, status) if self._offerer == other(party):
                self._offerer = None
                return [do.Refuse(other(party), status)]
            case on.Acknowledged(party, body) if self._answers_by_ack and self._offerer == party:
                self._offerer, self._answers_by_ack = None, False
                return [do.Acknowledge(other(party), body)]
        return []


def other(party: Party) -> Party:
    """The one whom `party` talks to."""
    return "agent" if party == "caller" else "caller"
