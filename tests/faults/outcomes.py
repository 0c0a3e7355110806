"""The matrix: who is killed at which step of a call, and which outcomes are right then.

Where several are named, a deadline of a setting decides between them: whether what was killed was
back in time. Each is right; anything else is a fault. Whatever the outcome, all checks must hold.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from onrecord.ledger.canonical import CanonicalEntry


class Step(StrEnum):
    """Where a call stands when the kill comes, in the order of a call."""

    INVITE = "its INVITE is on the way"
    OPEN = "Media.Open is on the way"
    ANSWER = "B's 200 is on the way"
    ANNOUNCE = "the notices are being played"
    NOTICE = "both notices are committed"
    PERMIT = "the permit was asked for"
    RECORD = "Media.Record is on the way"
    TALK = "in mid-call"
    BYE = "its BYE is on the way"
    SEAL = "it ended, its units are not sealed"
    PUT = "sealed, the store is away"
    STORED = "stored, recording.stored is not committed"


@dataclass(frozen=True)
class Outcome:
    """A verdict and the causes it may name; at least one of them where there are any.

    `unanswered`: no verdict, because nobody was ever connected.
    """

    verdict: str
    causes: frozenset[str] = frozenset()

    def is_met(self, verdict: CanonicalEntry | None) -> bool:
        """Whether a call's verdict says this."""
        if verdict is None:
            return self.verdict == "unanswered"
        causes = set(verdict.fields.get("causes", ()))
        return (
            verdict.fields["verdict"] == self.verdict
            and causes <= self.causes
            and bool(causes) == bool(self.causes)
        )

    def __str__(self) -> str:
        return " ".join([self.verdict, *sorted(self.causes)])


RECORDED = Outcome("recorded")
UNANSWERED = Outcome("unanswered")


def partly(*causes: str) -> Outcome:
    """Kept in part, for some of these causes."""
    return Outcome("partly_recorded", frozenset(causes))


def failed(*causes: str) -> Outcome:
    """Nothing kept, for some of these causes."""
    return Outcome("failed", frozenset(causes))


NO_LEDGER = failed("ledger_unavailable")
NO_MEDIA = failed("media_unavailable")
NO_NOTICE = failed(
    "notice_failed", "media_unavailable", "media_timeout", "call_unknown_to_media", "play_refused"
)
NO_ANNOUNCER = failed("announcement_unavailable")
LOST = failed("signalling_lost")
CUT = partly("signalling_lost")
MOVER_LOST = partly("mover_lost")

Row = dict[Step, Collection[Outcome]]

_RECORDED: Row = dict.fromkeys(Step, (RECORDED,))

OUTCOMES: dict[str, Row] = {
    # Confirmed calls are hung up on both sides by its successor; others were never answered.
    "signalling": {
        **_RECORDED,
        Step.OPEN: (UNANSWERED,),
        Step.ANSWER: (UNANSWERED,),
        Step.ANNOUNCE: (LOST,),
        Step.NOTICE: (LOST,),
        Step.PERMIT: (LOST,),
        # The recorder may have taken the request from the dead.
        Step.RECORD: (LOST, CUT),
        Step.TALK: (CUT,),
        Step.BYE: (CUT,),
    },
    # The mover relays on and the successor of the writer goes on where it was.
    "media-recorder": {
        **_RECORDED,
        # A play whose report is lost proves nothing.
        Step.ANNOUNCE: (NO_NOTICE,),
    },
    # Its calls have no audio path any more.
    "media-mover": {
        **_RECORDED,
        # Both are sent to each other, past the recorder.
        Step.ANSWER: (NO_MEDIA,),
        Step.ANNOUNCE: (NO_NOTICE,),
        Step.NOTICE: (NO_MEDIA,),
        Step.PERMIT: (NO_MEDIA,),
        Step.RECORD: (NO_MEDIA,),
        Step.TALK: (MOVER_LOST,),
        Step.BYE: (MOVER_LOST, RECORDED),
        Step.SEAL: (MOVER_LOST, RECORDED),
    },
    # Asked again, it hears of the play that went on without it.
    "announcement": {
        **_RECORDED,
        Step.INVITE: (RECORDED, NO_ANNOUNCER),
        Step.OPEN: (RECORDED, NO_ANNOUNCER),
        Step.ANSWER: (RECORDED, NO_ANNOUNCER),
        Step.ANNOUNCE: (RECORDED, NO_ANNOUNCER),
    },
    "consent-ledger": {
        **_RECORDED,
        Step.NOTICE: (RECORDED, NO_LEDGER),
        Step.PERMIT: (RECORDED, NO_LEDGER),
    },
    "mongo": {
        **_RECORDED,
        Step.NOTICE: (RECORDED, NO_LEDGER),
        Step.PERMIT: (RECORDED, NO_LEDGER),
    },
    # They follow; no call notices.
    "kafka": _RECORDED,
    "retrieval": _RECORDED,
}
