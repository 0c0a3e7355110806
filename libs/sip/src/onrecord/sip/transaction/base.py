"""What the four machines share: states, timers, keys, the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from onrecord.sip.headers import BRANCH_COOKIE
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request
from onrecord.sip.transport import Outbox

TransactionKey = tuple[str, ...]


class State(Enum):
    """The states of RFC 3261 figures 5 to 8 and of RFC 6026 §7 and §8."""

    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Timers:
    """RFC 3261 table 4, in seconds; tests shorten T1 and everything follows."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0

    @property
    def give_up(self) -> float:
        """64*T1: timers B, F, H, L and M, and on UDP D and J."""
        return 64 * self.t1


def server_key(request: Request) -> TransactionKey:
    """Return the key of §17.2.3: branch, sent-by and method; an ACK has its INVITE's key.

    A branch without the magic cookie comes from an RFC 2543 client and says nothing alone, so the
    headers that RFC 2543 compared stand beside it.
    """
    method = "INVITE" if request.method == "ACK" else request.method
    via = request.via
    if via.branch.startswith(BRANCH_COOKIE):
        return via.branch, via.sent_by, method
    return (
        via.branch,
        via.sent_by,
        method,
        request.call_id,
        request.from_.tag,
        str(request.cseq.number),
    )


def client_key(branch: str, method: str) -> TransactionKey:
    """Return the key of §17.1.3: our own branch and the method of CSeq."""
    return branch, method


class Machine:
    """One transaction: where it sends, what it waits for."""

    def __init__(self, key: TransactionKey, peer: Hop, outbox: Outbox, timers: Timers) -> None:
        self.key = key
        self.armed_for: float | None = None
        self.identity: TransactionKey = ()
        self.peer = peer
        self.timers = timers
        self.state = State.TERMINATED
        self._outbox = outbox
        self._interval = timers.t1
        self._retransmit_at: float | None = None
        self._expire_at: float | None = None

    @property
    def next_timer(self) -> float | None:
        """When `handle_timer` is due; None when nothing is waited for."""
        if self._retransmit_at is None:
            return self._expire_at
        if self._expire_at is None:
            return self._retransmit_at
        return min(self._retransmit_at, self._expire_at)

    def is_unanswered_at(self, hop: Hop) -> bool:
        """Whether nothing was heard yet of what went to `hop`, or over its very connection."""
        if self.state not in (State.CALLING, State.TRYING):
            return False
        peer = self.peer
        if peer.connection and peer.connection == hop.connection:
            return True
        return (peer.transport, peer.host, peer.port) == (hop.transport, hop.host, hop.port)

    @property
    def is_terminated(self) -> bool:
        """Whether the machine is done and its owner can forget it."""
        return self.state is State.TERMINATED

    def _repeat_from(self, now: float) -> float | None:
        """When to send again for the first time: T1 from now on UDP, else never (table 4)."""
        return None if self.peer.is_reliable else now + self.timers.t1

    def _lingering(self, seconds: float) -> float:
        """How long repeats are waited for: so long on UDP; none come on a stream (table 4)."""
        return 0.0 if self.peer.is_reliable else seconds

    def _send(self, data: bytes) -> None:
        self._outbox.append((data, self.peer))

    def _wait(self, state: State, *, until: float | None) -> None:
        """Enter a state in which nothing is retransmitted on a timer."""
        self.state = state
        self._retransmit_at = None
        self._expire_at = until

    def abandon(self) -> None:
        """End without a word."""
        self._wait(State.TERMINATED, until=None)
