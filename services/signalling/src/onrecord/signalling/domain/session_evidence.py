"""Who of a recording session was told, by which notice on whose word (never by our own playing)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onrecord.signalling.domain.effects import Enter
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.plan import PARTIES
from onrecord.signalling.domain.session_facts import notice_given
from onrecord.signalling.routes import StatedNotice


class Evidence:
    """The standing evidence of one session: at most one notice for each party counts here.

    The ledger judges on its own fold of the same facts; this only says when asking makes sense.
    """

    def __init__(self, call_id: str, notices: Sequence[StatedNotice]) -> None:
        self._call_id = call_id
        self._notices = notices
        self._told: dict[Party, tuple[str, str, str]] = {}
        self._numbers: dict[Party, int] = {}

    @property
    def is_complete(self) -> bool:
        """Whether every party was told."""
        return self._told.keys() == {*PARTIES}

    @property
    def event_ids(self) -> tuple[str, ...]:
        """The facts that say so."""
        return tuple(event_id for event_id, _, _ in self._told.values())

    def published(self) -> list[Enter]:
        """State, for each party who was not told otherwise, what is published for it."""
        found: list[Enter] = []
        for party in PARTIES:
            of_party = [n for n in self._notices if n.is_published and party in n.parties]
            if of_party and party not in self._told:
                found += self.state(party, of_party[0], "", ())
        return found

    def find(self, system: str, party: str, notice: str, version: str) -> StatedNotice | None:
        """The notice that this system may state for this party; None where it may not."""
        wanted = (notice, version)
        return next(
            (
                one
                for one in self._notices
                if (one.notice, one.version) == wanted
                and system in one.systems
                and party in one.parties
            ),
            None,
        )

    def standing(self, party: Party, notice: StatedNotice) -> str:
        """The id of the fact by which this very notice counts for the party; empty where none."""
        event_id, *known = self._told.get(party, ("", "", ""))
        return event_id if known == [notice.notice, notice.version] else ""

    def next_id(self, party: Party) -> str:
        """The id of the fact that the next statement for this party becomes."""
        return f"{self._call_id}:notice.given:{self._discriminator(party)}"

    def state(
        self,
        party: Party,
        notice: StatedNotice,
        system: str,
        received: Sequence[Mapping[str, object]],
    ) -> list[Enter]:
        """Let a notice count for a party from now on; give the fact, none if it counts already."""
        if self.standing(party, notice):
            return []
        fields = notice_given(party, notice, system, received)
        entered = Enter("notice.given", fields, self._discriminator(party))
        self._told[party] = self.next_id(party), notice.notice, notice.version
        self._numbers[party] = self._numbers.get(party, 0) + 1
        return [entered]

    def forget(self, party: Party) -> None:
        """Somebody came in on this side: what was told before was told to others."""
        self._told.pop(party, None)

    def _discriminator(self, party: Party) -> str:
        return f"{party}:{self._numbers.get(party, 0)}"
