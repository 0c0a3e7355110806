"""What can happen to a call, from either side or from a service that it depends on.

`headers` are those that cross to the other side (`crossing.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from onrecord.signalling.domain.crossing import Fields
from onrecord.signalling.routes import StatedNotice
from onrecord.sip.siprec.offer import RecordingOffer

Party = Literal["caller", "agent"]
Outage = Literal[
    "media_unavailable",
    "announcement_unavailable",
    "notice_failed",
    "ledger_unavailable",
    "permit_refused",
]
"""Why the gate stayed shut, as `call.ended` names it."""


@dataclass(frozen=True, slots=True)
class MediaOpened:
    """The recorder reserved an address for each leg."""

    node: str
    caller: tuple[str, int]
    agent: tuple[str, int]


@dataclass(frozen=True, slots=True)
class StreamsOpened:
    """The recorder reserved an address for each stream of a recording session, by leg."""

    node: str
    places: Mapping[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class StreamsFailed:
    """The recorder could not take the streams that were offered."""


@dataclass(frozen=True, slots=True)
class Redescribed:
    """The recording client sent a re-INVITE or UPDATE; `asks_offer`: it wants ours (no SDP)."""

    offer: RecordingOffer
    asks_offer: bool


@dataclass(frozen=True, slots=True)
class Stated:
    """A named system states that a party was given a notice.

    `received` says, as `notice.given` has it, how far each stream had come by then.
    """

    party: Party
    notice: StatedNotice
    system: str
    received: tuple[Mapping[str, object], ...]


@dataclass(frozen=True, slots=True)
class ReofferDue:
    """The wait after a re-INVITE that crossed another is over."""


@dataclass(frozen=True, slots=True)
class MediaUpdated:
    """The recorder knows both far ends."""


@dataclass(frozen=True, slots=True)
class GateOpened:
    """The recorder accepted the permit: from now on audio is kept."""


@dataclass(frozen=True, slots=True)
class NoticesGiven:
    """Every party was told; these entries are committed."""

    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PermitGranted:
    """The ledger signed a permit; `grant` is opaque to the call and goes to the recorder."""

    grant: object


@dataclass(frozen=True, slots=True)
class Failed:
    """The step that was waited for did not work out."""

    outage: Outage


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """The recorder gave up keeping this call; the relay goes on."""


@dataclass(frozen=True, slots=True)
class AgentRinging:
    """The agent's side sent a provisional response."""

    status: int
    reason: str
    body: bytes
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class AgentAnswered:
    """The agent's side sent 200 with this description."""

    body: bytes
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class AgentRefused:
    """The agent's side failed the call, or never answered the INVITE (408)."""

    status: int
    reason: str
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class CallerCancelled:
    """The caller gave up before the answer."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A party's ACK came; `body` is its answer where our 2xx carried the offer."""

    party: Party
    body: bytes


@dataclass(frozen=True, slots=True)
class HungUp:
    """A party sent BYE, or went silent for good (`is_lost`)."""

    party: Party
    is_lost: bool = False
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class Reoffered:
    """A party made an offer inside the call; an empty body asks us for one."""

    party: Party
    body: bytes


@dataclass(frozen=True, slots=True)
class ReofferAnswered:
    """The re-INVITE that we passed on to `party` was accepted."""

    party: Party
    body: bytes


@dataclass(frozen=True, slots=True)
class ReofferRefused:
    """The re-INVITE that we passed on to `party` was refused."""

    party: Party
    status: int


@dataclass(frozen=True, slots=True)
class RangTooLong:
    """Nobody answered within the ring time."""


@dataclass(frozen=True, slots=True)
class Objected:
    """A party does not want to be recorded."""

    party: Party
    channel: str


@dataclass(frozen=True, slots=True)
class PauseAsked:
    """Somebody asks to keep nothing for now."""

    cause: str
    actor_role: str
    actor: str


@dataclass(frozen=True, slots=True)
class ResumeAsked:
    """Somebody asks to go on recording."""


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The time of `RetryLater` has come."""


@dataclass(frozen=True, slots=True)
class HangUpAsked:
    """Somebody asks to end the call: an `operator`, or the `shutdown` of this worker."""

    cause: str = "operator"


Exchange = Reoffered | ReofferAnswered | ReofferRefused | Acknowledged
"""The steps of an offer and its answer inside the call."""

Input = (
    MediaOpened
    | StreamsOpened
    | StreamsFailed
    | Redescribed
    | Stated
    | ReofferDue
    | MediaUpdated
    | GateOpened
    | NoticesGiven
    | PermitGranted
    | Failed
    | RecordingFailed
    | AgentRinging
    | AgentAnswered
    | AgentRefused
    | CallerCancelled
    | Acknowledged
    | HungUp
    | Reoffered
    | ReofferAnswered
    | ReofferRefused
    | RangTooLong
    | Objected
    | PauseAsked
    | ResumeAsked
    | RetryDue
    | HangUpAsked
)
