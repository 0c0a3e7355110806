"""A SIP user agent without sockets or clocks: RFC 3261, both halves of a call.

Five doors: `receive_message`, `messages_to_send`, `next_event`, `next_timer`, `handle_timer`.
`unreachable` is for what only the owner of the sockets learns.
After any of them, and after any command, send what `messages_to_send` returns and take the
events. `now` is in seconds on a clock that only goes forward, the same one everywhere.

Commands about a leg that is already over do nothing: they race with the far side by nature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from onrecord.sip.admission import RETRY_AFTER
from onrecord.sip.asked import Fields, Reply
from onrecord.sip.capabilities import INSIDE_DIALOG, Capabilities
from onrecord.sip.client_leg import ClientLeg, Invitation
from onrecord.sip.core import Core
from onrecord.sip.dialog import Dialog, DialogKey
from onrecord.sip.digest import Credentials
from onrecord.sip.errors import SipError
from onrecord.sip.events import Event, IncomingInvite, LegId, RequestId
from onrecord.sip.headers import Headers
from onrecord.sip.hop import Hop
from onrecord.sip.leg import Leg
from onrecord.sip.message import MalformedRequest, Request, Response, parse
from onrecord.sip.server_leg import ServerLeg
from onrecord.sip.transaction.base import Timers
from onrecord.sip.transport import Locate, Outbox, Transports

MAX_TRANSACTIONS = 100_000

_NOTHING = Headers()


class Endpoint:
    """One SIP user agent that calls and is called.

    `local` is what it writes into Via and Contact, an address for each transport, so its peers
    must be able to reach it there. `tokens` returns a new unguessable token of letters and digits
    at each call. `admits` is asked about each INVITE of a new call before anything is kept of it;
    False sheds it with 503. Without it the bound is `is_crowded`, which always holds for requests
    that belong to no call. `spares` says which new calls are taken whatever they require.
    `capabilities` are what the owner itself takes care of. `credentials`, by realm, answer the
    challenges that our calls meet. `locate` says where a call to a URI goes (RFC 3263); without it
    its host must be an address. While `is_draining`, OPTIONS is answered 503.
    """

    def __init__(
        self,
        *local: Hop,
        tokens: Callable[[], str],
        timers: Timers | None = None,
        admits: Callable[[Request], bool] | None = None,
        spares: Callable[[Request], bool] | None = None,
        capabilities: Capabilities | None = None,
        credentials: Mapping[str, Credentials] | None = None,
        locate: Locate | None = None,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.is_draining = False
        self._admits = admits or (lambda _request: not self.is_crowded)
        self._spares = spares or (lambda _request: False)
        self._core = Core(
            Transports(local, locate),
            tokens,
            timers or Timers(),
            capabilities or Capabilities(),
            credentials or {},
        )

    # The five doors

    def receive_message(self, data: bytes, source: Hop, now: float) -> None:
        """Take one datagram, or one message cut from a stream.

        Whatever its octets, this raises nothing (see `dropped`).
        """
        if not 1 <= source.port <= 65535 or not data.strip():
            return  # nobody could be answered at port 0; blank lines are keep-alives (RFC 5626)
        try:
            message = parse(data)
            if isinstance(message, Response):
                if not self._core.layer.receive_response(message, now):
                    self.dropped["unmatched_response"] += 1
            else:
                self._receive_request(message, source, now)
        except MalformedRequest as fault:
            self._refuse_statelessly(fault.request, source, fault.status or 400)
            self.dropped[fault.reason] += 1
        except SipError as fault:
            self.dropped[fault.reason] += 1

    def messages_to_send(self) -> Outbox:
        """Return what is to be sent now, with hops whose ports are in range, and forget it."""
        messages, self._core.transports.outbox[:] = list(self._core.transports.outbox), []
        return messages

    def unreachable(self, hop: Hop, now: float) -> None:
        """Learn that a hop refuses connections, or that a stream of ours (its number) is lost."""
        self._core.layer.unreachable(hop, now)

    def next_event(self) -> Event | None:
        """Return the oldest event not yet taken, or None."""
        return self._core.events.popleft() if self._core.events else None

    def next_timer(self) -> float | None:
        """When `handle_timer` is due, or None."""
        return self._core.layer.next_timer()

    def handle_timer(self, now: float) -> None:
        """Do what is due: retransmissions and time-outs."""
        self._core.layer.handle_timer(now)

    @property
    def transactions(self) -> int:
        """How many transactions there are."""
        return len(self._core.layer)

    @property
    def dialogs(self) -> int:
        """How many dialogs there are, early ones too."""
        return len(self._core.dialogs)

    @property
    def retransmissions(self) -> int:
        """How many messages were sent again because nothing came."""
        return self._core.layer.retransmissions

    @property
    def is_crowded(self) -> bool:
        """Whether there are as many transactions as there may be."""
        return len(self._core.layer) >= MAX_TRANSACTIONS

    def contact(self, incoming: IncomingInvite) -> str:
        """What we write into the Contact of its answers, without header parameters."""
        return self._core.transports.contact(incoming.source, incoming.request.uri)

    # Across a restart

    def dialog(self, leg: LegId) -> Dialog | None:
        """A copy of the leg's confirmed dialog, to be kept; None when there is none."""
        found = self._core.legs.get(leg)
        return found.confirmed if found is not None else None

    def restore(self, dialog: Dialog) -> LegId:
        """Take on a dialog that another endpoint had: the far side notices nothing."""
        return Leg.restore(self._core, dialog).id

    # Commands

    def invite(self, invitation: Invitation, now: float) -> LegId:
        """Call somebody; `Ringing`, then `Answered`, `Rejected` or `TimedOut` follow."""
        return ClientLeg(self._core, invitation, now).id

    def cancel(self, leg: LegId, now: float) -> None:
        """Give up a call of ours that nobody answered yet."""
        found = self._core.legs.get(leg)
        if isinstance(found, ClientLeg):
            found.cancel(now)

    def acknowledge(self, leg: LegId, body: bytes, now: float) -> None:
        """Send the ACK with our answer to the offer of `Answered` or `ReinviteAnswered`."""
        if found := self._core.legs.get(leg):
            found.acknowledge(body, now)

    def ring(
        self,
        leg: LegId,
        now: float,
        *,
        status: int = 180,
        reason: str = "",
        body: bytes = b"",
        headers: Fields = (),
    ) -> None:
        """Tell the caller that the call rings (18x), with early media where `body` has it."""
        found = self._core.legs.get(leg)
        if isinstance(found, ServerLeg):
            found.ring(status, reason, body, Headers(list(headers)), now)

    def answer(self, leg: LegId, body: bytes, now: float, *, headers: Fields = ()) -> None:
        """Accept a call or a re-INVITE with this session description; `Acked` follows.

        `headers` stand in place of ours of the same names (`Contact` with feature tags: see
        `contact`).
        """
        if found := self._core.legs.get(leg):
            found.answer(body, Headers(list(headers)), now)

    def reject(
        self,
        leg: LegId,
        status: int,
        now: float,
        *,
        reason: str = "",
        headers: Fields = (),
    ) -> None:
        """Refuse a call or a re-INVITE with a status of 300 to 699."""
        if found := self._core.legs.get(leg):
            found.reject(status, reason, Headers(list(headers)), now)

    def reinvite(self, leg: LegId, body: bytes, now: float) -> None:
        """Offer a new description inside the call; `ReinviteAnswered` or `…Rejected` follows."""
        if found := self._core.legs.get(leg):
            found.reinvite(body, now)

    def ask(
        self, leg: LegId, method: str, now: float, *, headers: Fields = (), body: bytes = b""
    ) -> RequestId | None:
        """Send an INFO, MESSAGE, NOTIFY or REFER inside the call; `Responded` follows.

        None, and no event, for a leg without a confirmed dialog.
        """
        found = self._core.legs.get(leg)
        return found.ask(method, headers, body, now) if found else None

    def respond(self, leg: LegId, asked: RequestId, reply: Reply, now: float) -> None:
        """Answer what `Requested` brought."""
        if found := self._core.legs.get(leg):
            found.respond(asked, reply, now)

    def bye(self, leg: LegId, now: float, *, headers: Fields = ()) -> None:
        """Hang up, whatever the state: BYE, CANCEL or 480; `Ended`, or the call's own end, follows.

        A leg that was called and not answered ends at once, without an event.
        """
        if found := self._core.legs.get(leg):
            found.bye(now, Headers(list(headers)))

    # Requests

    def _receive_request(self, request: Request, source: Hop, now: float) -> None:
        self.received[request.method if request.method in INSIDE_DIALOG else "other"] += 1
        request.stamp_source(source)
        layer = self._core.layer
        machine = layer.find_server(request)
        if machine is not None:
            if layer.receive_request(machine, request, now):
                self._on_ack(request, now)
        elif request.method == "ACK":
            self._on_ack(request, now)
        elif self._is_too_much(request):
            self.dropped["overload"] += 1
            self._refuse_statelessly(request, source, 503, RETRY_AFTER)
        elif request.method == "CANCEL":
            self._on_cancel(request, source, now)
        else:
            self._on_new_request(request, source, now)

    def _is_too_much(self, request: Request) -> bool:
        """What to shed; never what belongs to a call that runs."""
        if request.method == "INVITE" and not request.to.tag:
            return not self._admits(request)
        return self.is_crowded and self._dialog_key(request) not in self._core.dialogs

    @staticmethod
    def _dialog_key(request: Request) -> DialogKey:
        return request.call_id, request.to.tag, request.from_.tag

    def _on_ack(self, ack: Request, now: float) -> None:
        leg = self._core.dialogs.get(self._dialog_key(ack))
        if leg is not None:
            leg.on_ack(ack, now)

    def _on_cancel(self, request: Request, source: Hop, now: float) -> None:
        invite = self._core.layer.find_invite(request)
        self._respond(request, source, 481 if invite is None else 200, now)
        leg = self._core.unanswered.get(invite.key) if invite is not None else None
        if leg is not None:
            leg.on_cancel(now)

    def _on_new_request(self, request: Request, source: Hop, now: float) -> None:
        refusal = self._check(request)
        if refusal is not None:
            status, headers = refusal
            self._respond(request, source, status, now, headers)
        elif request.to.tag:
            self._in_dialog(request, source, now)
        elif request.method == "INVITE":
            self._on_invite(request, source, now)
        elif self.is_draining:
            self._respond(request, source, 503, now, Headers([RETRY_AFTER]))
        else:
            headers = Headers()
            self._core.capabilities.describe(headers)
            self._respond(request, source, 200, now, headers)  # OPTIONS (§11.2)

    def _check(self, request: Request) -> tuple[int, Headers] | None:
        """§8.2: what is refused before anybody is asked."""
        if self._core.layer.is_merged(request) or self._is_loop(request):
            return 482, Headers()
        if request.max_forwards == 0 and request.method != "OPTIONS":
            return 483, Headers()
        if request.method == "INVITE" and not request.to.tag and self._spares(request):
            return None
        return self._core.capabilities.refusal(request)

    def _is_loop(self, request: Request) -> bool:
        """§16.3: an open INVITE of ours came back for the same number; another's is a spiral."""
        sent = (self._core.layer.sent_invite(branch) for branch in request.branches)
        return any(ours is not None and ours.uri.user == request.uri.user for ours in sent)

    def _in_dialog(self, request: Request, source: Hop, now: float) -> None:
        leg = self._core.dialogs.get(self._dialog_key(request))
        if leg is None:
            self._respond(request, source, 481, now)
            return
        machine = self._core.layer.open_server(request, request.via.response_hop(source))
        leg.on_request(request, machine, now)

    def _on_invite(self, request: Request, source: Hop, now: float) -> None:
        layer = self._core.layer
        if request.contact is None:
            self._respond(request, source, 400, now)
            return
        machine = layer.open_invite(request, request.via.response_hop(source))
        ServerLeg(self._core, request, machine, source).trying(now)

    def _respond(
        self,
        request: Request,
        source: Hop,
        status: int,
        now: float,
        headers: Headers = _NOTHING,
    ) -> None:
        machine = self._core.layer.open_server(request, request.via.response_hop(source))
        response = request.response(status, to_tag=self._core.tokens())
        response.headers.override(headers)
        self._core.layer.respond(machine, response, now)

    def _refuse_statelessly(
        self, request: Request, source: Hop, status: int, *headers: tuple[str, str]
    ) -> None:
        """§8.2.7: keep nothing and send no 100, so that the far side's repeats still come."""
        response = request.response(status, to_tag=self._core.tokens())
        for name, value in headers:
            response.headers.add(name, value)
        peer = request.via.response_hop(source)
        self._core.transports.outbox.append((bytes(response), peer))
