"""All transactions of one endpoint: their tables, their timers, and who is told what."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol

from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response
from onrecord.sip.transaction.base import (
    Machine,
    Timers,
    TransactionKey,
    client_key,
    server_key,
)
from onrecord.sip.transaction.invite_client import InviteClient
from onrecord.sip.transaction.invite_server import InviteServer
from onrecord.sip.transaction.non_invite_client import NonInviteClient
from onrecord.sip.transaction.non_invite_server import NonInviteServer
from onrecord.sip.transport import Transports

ServerMachine = InviteServer | NonInviteServer
ClientMachine = InviteClient | NonInviteClient

WITHOUT_TCP_SECONDS = 300.0
"""How long a hop that refused TCP gets large requests over UDP without being asked again."""
MAX_WITHOUT_TCP = 1000


class TransactionUser(Protocol):
    """Who sent a request and hears what became of it."""

    def on_response(self, request: Request, response: Response, now: float) -> None:
        """Take a response that the transaction passed up."""

    def on_timeout(self, request: Request, now: float) -> None:
        """Learn that no final response will come."""


@dataclass(slots=True)
class Client:
    """A request of ours on its way: its transaction, who hears of it, and the hops left to try."""

    machine: ClientMachine
    user: TransactionUser
    otherwise: tuple[Hop, ...] = ()


class Timed(Protocol):
    """Whatever can wait in the timer heap; `armed_for` is the heap's own note."""

    armed_for: float | None

    @property
    def next_timer(self) -> float | None:
        """When it is due."""

    def handle_timer(self, now: float) -> object:
        """Do what is due."""


class TransactionLayer:
    """Matches messages to transactions and runs one heap of timers for them and for the legs."""

    def __init__(self, timers: Timers, transports: Transports, branches: Callable[[], str]) -> None:
        """`branches` returns a new branch at each call."""
        self.timers = timers
        self._transports = transports
        self._branches = branches
        self._without_tcp: dict[Hop, float] = {}
        self.retransmissions = 0
        self._servers: dict[TransactionKey, ServerMachine] = {}
        self._clients: dict[TransactionKey, Client] = {}
        self._identities: dict[TransactionKey, TransactionKey] = {}
        self._heap: list[tuple[float, int, Timed]] = []
        self._serial = count()

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    def find_server(self, request: Request) -> ServerMachine | None:
        """Return the transaction that this request retransmits or acknowledges (§17.2.3)."""
        return self._servers.get(server_key(request))

    def find_invite(self, cancel: Request) -> InviteServer | None:
        """Return the INVITE transaction that a CANCEL is about (§9.2)."""
        key = server_key(cancel)
        machine = self._servers.get((*key[:2], "INVITE", *key[3:]))
        return machine if isinstance(machine, InviteServer) else None

    def sent_invite(self, branch: str) -> Request | None:
        """Return our own INVITE with this branch while its transaction lives."""
        found = self._clients.get(client_key(branch, "INVITE"))
        return found.machine.request if found is not None else None

    def is_merged(self, request: Request) -> bool:
        """Whether this request came before by another path (§8.2.2.2)."""
        return not request.to.tag and _identity(request) in self._identities

    def open_server(self, request: Request, peer: Hop) -> ServerMachine:
        """Start a server transaction whose responses go to `peer`."""
        if request.method == "INVITE":
            return self.open_invite(request, peer)
        machine = NonInviteServer(request, peer, self._transports.outbox, self.timers)
        self._keep(machine, request)
        return machine

    def open_invite(self, request: Request, peer: Hop) -> InviteServer:
        """Start a server transaction for an INVITE."""
        machine = InviteServer(request, peer, self._transports.outbox, self.timers)
        self._keep(machine, request)
        return machine

    def respond(self, machine: ServerMachine, response: Response, now: float) -> None:
        """Send a response through its transaction."""
        machine.respond(response, now)
        self.arm(machine)

    def receive_request(self, machine: ServerMachine, request: Request, now: float) -> bool:
        """Hand a retransmission or ACK to its transaction; True when an ACK is the user's."""
        for_user = machine.receive(request, now)
        self.arm(machine)
        return for_user

    def send_request(
        self,
        request: Request,
        peer: Hop,
        user: TransactionUser,
        now: float,
        otherwise: Sequence[Hop] = (),
    ) -> None:
        """Start a client transaction for any request but an ACK.

        When `peer` cannot be reached, stays silent or answers 503, the request goes to the next
        of `otherwise` (RFC 3263 §4.3): the user hears of the last one only. A request too large
        for a datagram goes over TCP first (§18.1.1).
        """
        hops = (peer, *otherwise)
        if self._transports.outgrows_datagram(request):
            hops = tuple(one for hop in hops for one in self._preferring_tcp(hop, now))
        self._open(request, hops, user, now)

    def hop_of(self, request: Request) -> Hop | None:
        """Where a request of ours went last; None when its transaction is over."""
        found = self._clients.get(client_key(request.via.branch, request.method))
        return found.machine.peer if found is not None else None

    def stay(self, request: Request) -> None:
        """Try no other hop for a request of ours: it is being cancelled."""
        found = self._clients.get(client_key(request.via.branch, request.method))
        if found is not None:
            found.otherwise = ()

    def leave(self, request: Request) -> None:
        """Send an INVITE no more, and listen on: an answer may still come from where it went."""
        found = self._clients.get(client_key(request.via.branch, request.method))
        if found is not None and isinstance(found.machine, InviteClient):
            found.otherwise = ()
            found.machine.fall_silent()
            self.arm(found.machine)

    def abandon(self, request: Request) -> None:
        """End an INVITE without an answer: its CANCEL was not followed by a final one (§9.1)."""
        found = self._clients.get(client_key(request.via.branch, request.method))
        if found is not None:
            found.machine.abandon()
            self.arm(found.machine)

    def unreachable(self, hop: Hop, now: float) -> None:
        """A hop cannot be connected to, or its stream is lost: its users hear 503 (§8.1.3.1).

        Only requests that nothing answered yet are concerned: whoever sent a provisional response
        has the request, and sends the final one over another stream (§18.2.2).
        """
        waiting = [found for found in self._clients.values() if found.machine.is_unanswered_at(hop)]
        for client in waiting:
            machine = client.machine
            if client.otherwise and _same_host(client.otherwise[0], machine.peer):
                self._note_without_tcp(client.otherwise[0], now)
            machine.abandon()
            self.arm(machine)
            self._fail(client, client.otherwise, machine.request.response(503), now)

    def receive_response(self, response: Response, now: float) -> bool:
        """Hand a response to its transaction; False when it belongs to none."""
        found = self._clients.get(client_key(response.via.branch, response.cseq.method))
        if found is None:
            return False
        is_for_user = found.machine.receive(response, now)
        self.arm(found.machine)
        if is_for_user and response.status == 503:
            self._fail(found, _elsewhere(found), response, now)
        elif is_for_user:
            found.user.on_response(found.machine.request, response, now)
        return True

    def arm(self, timed: Timed) -> None:
        """Note that the deadline of `timed` may have changed."""
        due = timed.next_timer
        if due is not None and due != timed.armed_for:
            timed.armed_for = due
            heapq.heappush(self._heap, (due, next(self._serial), timed))
        elif due is None and isinstance(timed, Machine) and timed.is_terminated:
            self._forget(timed)

    def next_timer(self) -> float | None:
        """When `handle_timer` is due next; None when nothing waits."""
        while self._heap and self._heap[0][2].next_timer != self._heap[0][0]:
            heapq.heappop(self._heap)  # an older deadline of something that moved on
        return self._heap[0][0] if self._heap else None

    def handle_timer(self, now: float) -> None:
        """Do everything that is due at `now`."""
        while (due := self.next_timer()) is not None and due <= now:
            timed = heapq.heappop(self._heap)[2]
            timed.armed_for = None
            client = self._clients.get(timed.key) if isinstance(timed, Machine) else None
            before = len(self._transports.outbox)
            timed_out = timed.handle_timer(now)
            self.retransmissions += len(self._transports.outbox) - before
            self.arm(timed)
            if timed_out and client is not None:
                self._fail(client, _elsewhere(client), None, now)

    def _open(
        self, request: Request, hops: tuple[Hop, ...], user: TransactionUser, now: float
    ) -> None:
        kind = InviteClient if request.method == "INVITE" else NonInviteClient
        machine = kind(request, hops[0], self._transports, self.timers, now)
        self._clients[machine.key] = Client(machine, user, hops[1:])
        self.arm(machine)

    def _fail(
        self, client: Client, hops: tuple[Hop, ...], response: Response | None, now: float
    ) -> None:
        """Go on to the next hop under another branch, or tell the user; no response is silence."""
        request = client.machine.request
        if hops:
            request.stamp_branch(self._branches())
            self._open(request, hops, client.user, now)
        elif response is not None:
            client.user.on_response(request, response, now)
        else:
            client.user.on_timeout(request, now)

    def _preferring_tcp(self, hop: Hop, now: float) -> tuple[Hop, ...]:
        tcp = replace(hop, transport="tcp")
        if hop.is_reliable or not self._transports.has(tcp):
            return (hop,)
        if self._without_tcp.get(hop, now) > now:
            return (hop,)
        return tcp, hop

    def _note_without_tcp(self, hop: Hop, now: float) -> None:
        if len(self._without_tcp) >= MAX_WITHOUT_TCP:
            self._without_tcp.clear()
        self._without_tcp[hop] = now + WITHOUT_TCP_SECONDS

    def _keep(self, machine: ServerMachine, request: Request) -> None:
        self._servers[machine.key] = machine
        if not request.to.tag:
            machine.identity = _identity(request)
            self._identities[machine.identity] = machine.key

    def _forget(self, machine: Machine) -> None:
        if isinstance(machine, InviteServer | NonInviteServer):
            self._servers.pop(machine.key, None)
            self._identities.pop(machine.identity, None)
        else:
            self._clients.pop(machine.key, None)


def _same_host(hop: Hop, other: Hop) -> bool:
    return (hop.host, hop.port) == (other.host, other.port)


def _elsewhere(client: Client) -> tuple[Hop, ...]:
    """The hops left at other addresses than the one that was reached."""
    peer = client.machine.peer
    return tuple(hop for hop in client.otherwise if not _same_host(hop, peer))


def _identity(request: Request) -> TransactionKey:
    return request.call_id, request.from_.tag, str(request.cseq)
