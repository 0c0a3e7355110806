"""A request for audio: who, what for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Access:
    """One release of a call's audio. `request_id` makes a retry the same access.

    `person` is personal data: it goes to the ledger, which seals it, and into no log.
    """

    call: str
    purpose: str
    person: str
    role: str
    request_id: str
