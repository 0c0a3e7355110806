"""What a call asks its shell to do; effects are carried out in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onrecord.signalling.domain.crossing import Fields
from onrecord.signalling.domain.inputs import Party
from onrecord.sip.sdp import Codec, Media
from onrecord.sip.uri import SipUri

FactType = Literal[
    "call.started", "policy.decided", "call.answered", "objection.made", "call.ended",
    "session.described", "notice.given", "party.joined", "party.left",
]  # fmt: skip
Bridge = Literal["now", "after_notices", "on_permit", "unchanged"]


@dataclass(frozen=True, slots=True)
class Enter:
    """Enter a fact: at once into the journal, never waited for. `fields` are the fact's own.

    `discriminator` tells several of one type apart.
    """

    type: FactType
    fields: dict[str, object]
    discriminator: str = ""


@dataclass(frozen=True, slots=True)
class RingCaller:
    """Send the caller a provisional response."""

    status: int
    reason: str
    body: bytes
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Accept the caller's INVITE, or a party's re-INVITE."""

    party: Party
    body: bytes
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse the caller's INVITE, or a party's re-INVITE."""

    party: Party
    status: int
    reason: str = ""
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class InviteAgent:
    """Call the agent's side with this offer; empty asks it for one.

    A target that is not the last is soon left for the next when it says nothing at all.
    """

    target: SipUri
    body: bytes
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """ACK a party's offer with this answer."""

    party: Party
    body: bytes


@dataclass(frozen=True, slots=True)
class Reoffer:
    """Make a party an offer inside the call; an empty body asks it for one."""

    party: Party
    body: bytes


@dataclass(frozen=True, slots=True)
class HangUp:
    """End a party's leg, whatever its state."""

    party: Party
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class WatchRinging:
    """Say `RangTooLong` unless the call moves on in time."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Say `RetryDue` after a while: a retrieved call waits for what could not be reached."""


@dataclass(frozen=True, slots=True)
class OpenMedia:
    """Reserve media addresses: `MediaOpened` or `Failed` follows."""

    caller: Media
    bridge: Bridge
    notice_legs: tuple[Party, ...]


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of a recording session: the leg it is kept as, whence it comes, and how coded."""

    leg: str
    address: str
    port: int
    codecs: tuple[Codec, ...]


@dataclass(frozen=True, slots=True)
class OpenStreams:
    """Reserve an address for each stream that has none, tell what changed of the others.

    `StreamsOpened` or `StreamsFailed` follows.
    """

    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True)
class ReofferLater:
    """Say `ReofferDue` after the wait of RFC 3261 §14.1 for who did not begin the dialog."""


@dataclass(frozen=True, slots=True)
class AskSnapshot:
    """Ask the recording client for all of its metadata (RFC 7866 §9.2)."""

    reason: str


@dataclass(frozen=True, slots=True)
class UpdateMedia:
    """Tell the recorder what was agreed: `MediaUpdated` or `Failed` follows, if `is_awaited`."""

    caller: Media | None
    agent: Media | None
    bridge: Bridge
    is_awaited: bool


@dataclass(frozen=True, slots=True)
class Announce:
    """Have every notice given: `NoticesGiven` or `Failed` follows."""


@dataclass(frozen=True, slots=True)
class RequestPermit:
    """Ask for permit `number` on the strength of these entries, once all facts are committed."""

    number: int
    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Hand the permit to the recorder: `GateOpened` or `Failed` follows."""

    grant: object


@dataclass(frozen=True, slots=True)
class PauseMedia:
    """Keep nothing for now."""

    cause: str
    actor_role: str
    actor: str


@dataclass(frozen=True, slots=True)
class StopMedia:
    """Keep nothing any more; the relay goes on."""

    cause: str


@dataclass(frozen=True, slots=True)
class CloseMedia:
    """End relay and recording."""


@dataclass(frozen=True, slots=True)
class ResumeOutcome:
    """Tell who asked to resume what came of it; an empty `reason` means that it records."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Forget the call."""


Effect = (
    Enter
    | RingCaller
    | Answer
    | Refuse
    | InviteAgent
    | Acknowledge
    | Reoffer
    | HangUp
    | WatchRinging
    | RetryLater
    | OpenMedia
    | OpenStreams
    | ReofferLater
    | AskSnapshot
    | UpdateMedia
    | Announce
    | RequestPermit
    | OpenGate
    | PauseMedia
    | StopMedia
    | CloseMedia
    | ResumeOutcome
    | Finish
)
