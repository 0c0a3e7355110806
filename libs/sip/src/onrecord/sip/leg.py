"""One leg of a call: its dialog once there is one, and the requests inside it."""

from __future__ import annotations

from onrecord.sip.asked import AskedRequests, Fields, Reply
from onrecord.sip.capabilities import ASKED
from onrecord.sip.core import Core
from onrecord.sip.dialog import Dialog, DialogKey
from onrecord.sip.digest import ANSWERS, Authorizer
from onrecord.sip.errors import SipError
from onrecord.sip.events import (
    Acked,
    Bye,
    Ended,
    LegId,
    ReinviteAnswered,
    Reinvited,
    ReinviteRejected,
    RequestId,
    TimedOut,
)
from onrecord.sip.headers import Headers
from onrecord.sip.message import Request, Response
from onrecord.sip.reliable import OPTION_TAG
from onrecord.sip.server_invite import ServerInvite
from onrecord.sip.server_update import ServerUpdate
from onrecord.sip.session_timer import SessionTimer
from onrecord.sip.transaction.invite_server import InviteServer
from onrecord.sip.transaction.layer import ServerMachine

_NOTHING = Headers()
RETRY_SECONDS = 1.0
"""How long a refresh waits for another offer of either side to end."""


class Leg:
    """What caller and callee have in common after the dialog is confirmed."""

    def __init__(self, core: Core, leg_id: LegId) -> None:
        self.id = leg_id
        self.dialog_keys: set[DialogKey] = set()
        self.is_over = False
        self._core = core
        self._dialog: Dialog | None = None
        self._incoming: ServerInvite | ServerUpdate | None = None
        self._asked = AskedRequests(core, leg_id)
        self._session = SessionTimer(core.capabilities.session, self._refresh, self._on_expiry)
        self._authorizer: Authorizer | None = None
        self._described = b""
        self._takes_update = False
        self._reinvite: Request | None = None
        self._refreshing: Request | None = None
        self._unacknowledged: Request | None = None
        self._acks: dict[tuple[str, int], Request] = {}
        self._is_ending = False
        self._late_bye: Headers | None = None

    @classmethod
    def restore(cls, core: Core, dialog: Dialog) -> Leg:
        """Take on a confirmed dialog that an earlier endpoint had."""
        leg = cls(core, LegId(core.tokens()))
        leg._dialog = dialog.copy()
        core.legs[leg.id] = leg
        core.register(dialog.key, leg)
        return leg

    @property
    def confirmed(self) -> Dialog | None:
        """A copy of the confirmed dialog; None before the answer and when the leg is over."""
        if self._dialog is None or self.is_over:
            return None
        return self._dialog.copy()

    def bye(self, now: float, headers: Headers = _NOTHING) -> None:
        """Hang up a confirmed dialog; a BYE before the ACK of our 2xx waits for it (§15)."""
        if self._dialog is None or self._is_ending or self.is_over:
            return
        if self._incoming is not None and self._incoming.awaits_ack:
            self._late_bye = headers
            return
        self.acknowledge(b"", now)  # an offer that stays without an answer
        self._session.stop()
        self._is_ending = True
        self._send_in(self._dialog, "BYE", now, headers)

    def reinvite(self, body: bytes, now: float) -> None:
        """Offer a new session description inside the dialog (§14.1).

        Answered at once with `ReinviteRejected` 491 while another INVITE of either side is open.
        """
        if self._dialog is None or self._is_ending or self.is_over:
            return
        if self._has_open_invite:
            self._core.events.append(ReinviteRejected(self.id, 491, "Request Pending"))
            return
        self._reinvite = self._send_offer(self._dialog, "INVITE", body, now)

    def acknowledge(self, body: bytes, now: float) -> None:
        """ACK the 2xx that brought us an offer, with our answer; nothing if none waits."""
        invite, self._unacknowledged = self._unacknowledged, None
        if invite is not None and self._dialog is not None and not self.is_over:
            self._described = body or self._described
            self._acknowledge(self._dialog, invite, body, now)

    def answer(self, body: bytes, headers: Headers, now: float) -> None:
        """Accept the INVITE or re-INVITE that waits for an answer; nothing if none waits."""
        if self._incoming is not None and not self._incoming.is_answered:
            self._described = body or self._described
            said = self._session.accept(self._incoming.request, now)
            self._core.layer.arm(self._session)
            said.override(headers)
            self._incoming.accept(body, now, said)

    def reject(self, status: int, reason: str, headers: Headers, now: float) -> None:
        """Refuse the re-INVITE that waits for an answer; nothing if none waits."""
        if self._incoming is not None and not self._incoming.is_answered:
            self._incoming.refuse(status, reason, headers, now)

    def ask(self, method: str, headers: Fields, body: bytes, now: float) -> RequestId | None:
        """Send an INFO, MESSAGE, NOTIFY or REFER inside the dialog; None where there is none."""
        if self._dialog is None or self._is_ending or self.is_over:
            return None
        return self._asked.send(self._dialog, method, headers, body, now)

    def respond(self, asked: RequestId, reply: Reply, now: float) -> None:
        """Answer a request that `Requested` brought."""
        self._asked.respond(asked, reply, now)

    def on_request(self, request: Request, machine: ServerMachine, now: float) -> None:
        """Take a request inside the dialog, ACK and CANCEL apart."""
        if self._dialog is not None:
            try:
                self._dialog.accept_sequence(request.cseq.number)
            except SipError as fault:
                self._respond(request, machine, fault.status or 500, now)
                return
        if request.method == "BYE":
            self._on_bye(request, machine, now)
        elif request.method == "INVITE" and isinstance(machine, InviteServer):
            self._on_reinvite(request, machine, now)
        elif request.method == "UPDATE":
            self._on_update(request, machine, now)
        elif request.method == "PRACK":
            self._on_prack(request, machine, now)
        elif request.method in ASKED:
            self._asked.receive(request, machine, now)
        else:
            self._respond(request, machine, 200, now)

    def on_ack(self, ack: Request, now: float) -> None:
        """Take the ACK of a 2xx of ours."""
        if self._incoming is None or not self._incoming.acknowledge(ack):
            return
        self._incoming = None  # the INVITE is not kept for as long as people talk
        self._core.events.append(Acked(self.id, ack.body))
        self._send_late_bye(now)

    def on_response(self, request: Request, response: Response, now: float) -> None:
        """Take a response to a request of this leg."""
        if request.method == "BYE" and self._dialog and self._is_challenged(response):
            self._send_in(self._dialog, "BYE", now)
        elif request.method == "BYE" and response.status >= 200:
            self._on_bye_done(request)
        elif request is self._refreshing:
            self._on_refreshed(request, response, now)
        elif request.method == "INVITE":
            self._on_reinvite_response(request, response, now)

    def on_timeout(self, request: Request, now: float) -> None:
        """A request of this leg was never answered."""
        if request.method == "BYE":
            self._on_bye_done(request)
        elif request is self._refreshing:
            self._refreshing = None
            self._on_expiry(now)
        elif request.method == "INVITE" and request is self._reinvite:
            self._reinvite = None
            self._core.events.append(ReinviteRejected(self.id, 408, "Request Timeout"))

    @property
    def _has_open_invite(self) -> bool:
        incoming = self._incoming
        return (
            self._reinvite is not None
            or self._refreshing is not None
            or (incoming is not None and (not incoming.is_answered or incoming.awaits_ack))
        )

    def _on_bye(self, request: Request, machine: ServerMachine, now: float) -> None:
        self._respond(request, machine, 200, now)
        if self._incoming is not None and not self._incoming.is_answered:
            self._incoming.refuse(487, "", _NOTHING, now)
        self._core.events.append(
            Ended(self.id) if self._is_ending else Bye(self.id, request.headers)
        )
        self._finish()

    def _on_reinvite(self, request: Request, machine: InviteServer, now: float) -> None:
        if self._dialog is None or self._refuses_offer(request, machine, now):
            return
        self._dialog.refresh_target(request)
        tag = self._dialog.local.tag
        incoming = ServerInvite(self._core, request, machine, tag, self._on_no_ack)
        incoming.ring(100, "", b"", now)
        self._incoming = incoming
        self._core.events.append(Reinvited(self.id, request.body, request))

    def _on_update(self, request: Request, machine: ServerMachine, now: float) -> None:
        """RFC 3311 §5.2: without an offer it only refreshes, and that needs nobody's word."""
        if request.body and self._refuses_offer(request, machine, now):
            return
        if self._dialog is not None:
            self._dialog.refresh_target(request)
        update = ServerUpdate(self._core, request, machine)
        if request.body:
            self._incoming = update
            self._core.events.append(Reinvited(self.id, request.body, request))
        else:
            update.accept(b"", now, self._session.accept(request, now))
            self._core.layer.arm(self._session)

    def _on_prack(self, request: Request, machine: ServerMachine, now: float) -> None:
        """RFC 3262 §3: for no response that waits for it."""
        self._respond(request, machine, 481, now)

    def _refuses_offer(self, request: Request, machine: ServerMachine, now: float) -> bool:
        """§14.2, RFC 3311 §5.2: 491 while our own offer is open, 500 while an earlier of theirs is.

        Before the call is answered there is no session yet that could be changed.
        """
        if self._reinvite is not None or self._refreshing is not None:
            self._respond(request, machine, 491, now)
        elif self._has_open_invite or self.confirmed is None:
            self._respond(request, machine, 500, now, Headers([("Retry-After", "1")]))
        else:
            return False
        return True

    def _on_no_ack(self, now: float) -> None:
        """§13.3.1.4: a 2xx that nobody acknowledges ends the session with a BYE."""
        self._lose("ack", now)

    def _on_expiry(self, now: float) -> None:
        """RFC 4028 §10: nobody refreshed the session in time."""
        if not self.is_over and not self._is_ending:
            self._lose("refresh", now)

    def _refresh(self, now: float) -> None:
        """RFC 4028 §7.4: an UPDATE where the far side takes it, else what it knows once more."""
        if self._dialog is None or self._is_ending or self.is_over:
            return
        if self._has_open_invite:
            self._session.postpone(RETRY_SECONDS, now)
        elif self._takes_update:
            self._refreshing = self._send_offer(self._dialog, "UPDATE", b"", now)
        elif self._described:
            self._refreshing = self._send_offer(self._dialog, "INVITE", self._described, now)

    def _on_refreshed(self, request: Request, response: Response, now: float) -> None:
        if response.status < 200 or self._dialog is None:
            return
        self._refreshing = None
        if response.status < 300:
            self._dialog.refresh_target(response)
            self._session.take(response, now)
            if request.method == "INVITE":
                self._repeat_ack(self._dialog, request, now)
        elif response.status in (408, 481):
            self._on_expiry(now)
        elif response.status == 491:
            self._session.postpone(self._glare_seconds, now)
        self._core.layer.arm(self._session)

    @property
    def _glare_seconds(self) -> float:
        """§14.1: how long to wait after 491, less than who began the dialog: up to 2 s."""
        return 1.0

    def _lose(self, missing: str, now: float) -> None:
        self._core.events.append(TimedOut(self.id, missing))
        self._session.stop()
        if self._dialog is not None and not self._is_ending:
            self._is_ending = True
            self._send_in(self._dialog, "BYE", now)

    def _on_reinvite_response(self, request: Request, response: Response, now: float) -> None:
        if self._dialog is None or response.status < 200:
            return
        if response.status < 300:
            self._dialog.refresh_target(response)
            self._described = request.body or self._described
            self._session.take(response, now)
            self._core.layer.arm(self._session)
            if request.body or request is not self._reinvite:
                self._repeat_ack(self._dialog, request, now)
            else:
                self._unacknowledged = request
        if request is not self._reinvite:
            return
        if self._is_challenged(response):
            self._reinvite = self._send_offer(self._dialog, "INVITE", request.body, now)
            return
        self._reinvite = None
        if response.status < 300:
            self._core.events.append(ReinviteAnswered(self.id, response.body))
        else:
            rejected = ReinviteRejected(self.id, response.status, response.reason)
            self._core.events.append(rejected)
            if response.status in (408, 481):
                self.bye(now)  # §12.2.1.2: the far side no longer knows this dialog

    def _acknowledge(self, dialog: Dialog, invite: Request, body: bytes, now: float) -> None:
        """ACK a 2xx (§13.2.2.4); a retransmitted 2xx gets the same ACK again."""
        key = dialog.remote.tag, invite.cseq.number
        peer = self._core.destination(dialog.next_hop, dialog.peer)
        ack = self._acks.get(key)
        if ack is None:
            ack = dialog.request("ACK", self._core.via(), cseq=invite.cseq.number)
            if body:
                self._core.describe(ack, body, peer, ack.uri)
            said = [(name, v) for name in ANSWERS for v in invite.headers.fields(name)]
            ack.headers.override(said)  # §22.1: with the credentials of its INVITE
            self._acks = {k: v for k, v in self._acks.items() if k[0] != key[0]} | {key: ack}
        self._core.transports.send(ack, peer)

    def _is_challenged(self, response: Response) -> bool:
        """Whether the far side asks who we are, and we can say (RFC 7616); then ask again."""
        if response.status not in (401, 407) or not self._core.credentials:
            return False
        if self._authorizer is None:
            self._authorizer = Authorizer(self._core.credentials, self._core.tokens)
        return self._authorizer.take(response)

    def _authorize(self, request: Request) -> None:
        if self._authorizer is not None:
            self._authorizer.authorize(request)

    def _repeat_ack(self, dialog: Dialog, invite: Request, now: float) -> None:
        """ACK a 2xx, unless it is one whose offer still waits for the owner's answer."""
        if invite is not self._unacknowledged:
            self._acknowledge(dialog, invite, b"", now)

    def _send_offer(self, dialog: Dialog, method: str, body: bytes, now: float) -> Request:
        """Send an INVITE or UPDATE inside the dialog."""
        peer = self._core.destination(dialog.next_hop, dialog.peer)
        request = dialog.request(method, self._core.via())
        self._core.describe(request, body, peer, request.uri)
        supported = self._core.capabilities.supported(without=OPTION_TAG)  # the session is there
        request.headers.set("Supported", supported)
        request.headers.override(self._session.fields())
        self._authorize(request)
        self._core.layer.send_request(request, peer, self, now)
        return request

    def _send_in(
        self, dialog: Dialog, method: str, now: float, headers: Headers = _NOTHING
    ) -> None:
        request = dialog.request(method, self._core.via())
        request.headers.override(headers)
        self._authorize(request)
        peer = self._core.destination(dialog.next_hop, dialog.peer)
        self._core.layer.send_request(request, peer, self, now)

    def _send_late_bye(self, now: float) -> None:
        headers, self._late_bye = self._late_bye, None
        if headers is not None:
            self.bye(now, headers)

    def _on_bye_done(self, request: Request) -> None:
        if self._is_ending and self._dialog and request.to.tag == self._dialog.remote.tag:
            if not self.is_over:
                self._core.events.append(Ended(self.id))
            self._finish()

    def _respond(
        self,
        request: Request,
        machine: ServerMachine,
        status: int,
        now: float,
        headers: Headers = _NOTHING,
    ) -> None:
        response = request.response(status)
        for name, value in headers:
            response.headers.add(name, value)
        if status == 200:
            self._core.capabilities.describe(response.headers)
        self._core.layer.respond(machine, response, now)

    def _finish(self) -> None:
        self.is_over = True
        self._session.stop()
        if self._incoming is not None:
            self._incoming.stop()
        self._core.forget(self)
