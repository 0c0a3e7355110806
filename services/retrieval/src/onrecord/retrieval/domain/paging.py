"""Search: the filters, and page tokens that say where the next page begins.

A page is named by its predecessor's last row (its time and id), not by a count, so that calls that
come in while somebody reads shift nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass

from onrecord.retrieval.domain.call import Call


class BadPageToken(ValueError):
    """The token is none of ours, or belongs to another search."""


@dataclass(frozen=True)
class Filters:
    """Which calls are wanted; empty means any. Times as `format_time` writes them: [from, to).

    `identifier` is another system's name for the call, such as a UCID or a SIP Call-ID.
    """

    started_from: str = ""
    started_to: str = ""
    verdict: str = ""
    line: str = ""
    identifier: str = ""

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The two forms in which a call may have the identifier: as it is, and hashed."""
        return self.identifier, hashlib.sha256(self.identifier.encode()).hexdigest()

    def digest(self) -> str:
        """Names this set of filters inside a token."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Place:
    """The last row of a page: the next page begins after it."""

    started_at: str
    call: str


def token_after(call: Call, filters: Filters) -> str:
    """The token of the page that follows this row."""
    text = json.dumps([call.started_at, call.call, filters.digest()])
    return base64.urlsafe_b64encode(text.encode()).decode()


def place_of(token: str, filters: Filters) -> Place:
    """Where the token's page begins. Raises BadPageToken."""
    try:
        started_at, call, digest = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadPageToken("not a page token") from error
    if not (isinstance(started_at, str) and isinstance(call, str)):
        raise BadPageToken("not a page token")
    if digest != filters.digest():
        raise BadPageToken("the page token belongs to a search with other filters")
    return Place(started_at, call)
