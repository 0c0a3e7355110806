"""What an `Endpoint` tells its owner; each event names the leg that it is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NewType

from onrecord.sip.headers import Headers
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response

LegId = NewType("LegId", str)
RequestId = NewType("RequestId", str)
"""One request inside a dialog that waits for its answer."""


@dataclass(frozen=True, slots=True)
class IncomingInvite:
    """A new call arrived and has been answered 100; `ring`, `answer` or `reject` it."""

    leg: LegId
    request: Request
    source: Hop


@dataclass(frozen=True, slots=True)
class Acked:
    """The far side acknowledged our 2xx; `body` is the answer to an offer made in that 2xx."""

    leg: LegId
    body: bytes


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller cancelled before an answer; 487 has been sent and the leg is over."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class Ringing:
    """A provisional response above 100 to our INVITE, with early media in `body` if it has any."""

    leg: LegId
    status: int
    reason: str
    body: bytes
    headers: Headers = field(default_factory=Headers, compare=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """Our INVITE was answered 2xx.

    It has been ACKed, unless the INVITE had no body: then `body` is an offer, and the owner calls
    `acknowledge` with its answer.
    """

    leg: LegId
    body: bytes
    headers: Headers = field(default_factory=Headers, compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Our INVITE failed with `status` (already ACKed); the leg is over."""

    leg: LegId
    status: int
    reason: str
    headers: Headers = field(default_factory=Headers, compare=False)


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The far side sent no `response`, `ack`, `prack` or `refresh` (`waiting_for`): it is over."""

    leg: LegId
    waiting_for: str


@dataclass(frozen=True, slots=True)
class Bye:
    """The far side hung up; 200 has been sent and the leg is over."""

    leg: LegId
    headers: Headers = field(default_factory=Headers, compare=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """Our own BYE was answered or given up; the leg is over."""

    leg: LegId


@dataclass(frozen=True, slots=True)
class Reinvited:
    """An offer arrived inside the dialog; `answer` or `reject` it, the call goes on either way.

    It came by re-INVITE or by UPDATE (RFC 3311), as `request` tells. An empty `body` asks us for an
    offer; then `Acked` brings the answer.
    """

    leg: LegId
    body: bytes
    request: Request


@dataclass(frozen=True, slots=True)
class ReinviteAnswered:
    """Our re-INVITE was accepted, and ACKed if it carried an offer.

    If it did not, `body` is one, and the owner calls `acknowledge` with its answer.
    """

    leg: LegId
    body: bytes


@dataclass(frozen=True, slots=True)
class ReinviteRejected:
    """Our re-INVITE was refused or timed out (408); the session is as it was."""

    leg: LegId
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Requested:
    """An INFO, MESSAGE, NOTIFY or REFER arrived inside the dialog; `respond` to it."""

    leg: LegId
    id: RequestId
    request: Request


@dataclass(frozen=True, slots=True)
class Responded:
    """What became of a request that we sent by `ask`; `response` is None where none came."""

    leg: LegId
    id: RequestId
    status: int
    reason: str
    response: Response | None


Event = (
    IncomingInvite
    | Acked
    | Cancelled
    | Ringing
    | Answered
    | Rejected
    | TimedOut
    | Bye
    | Ended
    | Reinvited
    | ReinviteAnswered
    | ReinviteRejected
    | Requested
    | Responded
)
