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
        """64*T1: timers B, F, H, J, L and M."""
        return 64 * self.t1

    @property
    def completed_invite(self) -> float:
        """Timer D: at least 32 s on UDP at the default T1."""
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

    @property
    def is_terminated(self) -> bool:
        """Whether the machine is done and its owner can forget it."""
        return self.state is State.TERMINATED

    def _send(self, data: bytes) -> None:
        self._outbox.append((data, self.peer))

    def _wait(self, state: State, *, until: float | None) -> None:
        """Enter a state in which nothing is retransmitted on a timer."""
        self.state = state
        self._retransmit_at = None
        self._expire_at = until

    def _terminate(self) -> None:
        self._wait(State.TERMINATED, until=None)
