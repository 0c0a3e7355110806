"""All transactions of one endpoint: their tables, their timers, and who is told what."""

from __future__ import annotations

import heapq
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


class TransactionUser(Protocol):
    """Who sent a request and hears what became of it."""

    def on_response(self, request: Request, response: Response, now: float) -> None:
        """Take a response that the transaction passed up."""

    def on_timeout(self, request: Request, now: float) -> None:
        """Learn that no final response will come."""


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

    def __init__(self, timers: Timers, transports: Transports) -> None:
        self.timers = timers
        self._transports = transports
        self._servers: dict[TransactionKey, ServerMachine] = {}
        self._clients: dict[TransactionKey, tuple[ClientMachine, TransactionUser]] = {}
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
        return found[0].request if found is not None else None

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

    def send_request(self, request: Request, peer: Hop, user: TransactionUser, now: float) -> None:
        """Start a client transaction for anything but an INVITE or an ACK."""
        machine = NonInviteClient(request, peer, self._transports, self.timers, now)
        self._clients[machine.key] = machine, user
        self.arm(machine)

    def send_invite(
        self, request: Request, peer: Hop, user: TransactionUser, now: float
    ) -> InviteClient:
        """Start a client transaction for an INVITE."""
        machine = InviteClient(request, peer, self._transports, self.timers, now)
        self._clients[machine.key] = machine, user
        self.arm(machine)
        return machine

    def receive_response(self, response: Response, now: float) -> bool:
        """Hand a response to its transaction; False when it belongs to none."""
        found = self._clients.get(client_key(response.via.branch, response.cseq.method))
        if found is None:
            return False
        machine, user = found
        if machine.receive(response, now):
            user.on_response(machine.request, response, now)
        self.arm(machine)
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
            timed_out = timed.handle_timer(now)
            if timed_out and isinstance(timed, InviteClient | NonInviteClient):
                self._clients[timed.key][1].on_timeout(timed.request, now)
            self.arm(timed)

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


def _identity(request: Request) -> TransactionKey:
    return request.call_id, request.from_.tag, str(request.cseq)
