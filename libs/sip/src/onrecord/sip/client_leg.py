"""A leg on which we call: RFC 3261 §13.2 with forking, CANCEL (§9.1) and its race with the 2xx."""

from __future__ import annotations

from dataclasses import dataclass, field

from onrecord.sip.core import Core
from onrecord.sip.dialog import Dialog
from onrecord.sip.early import EarlyDialogs
from onrecord.sip.events import Answered, LegId, Rejected, Ringing, TimedOut
from onrecord.sip.headers import Address, Headers
from onrecord.sip.hop import Hop
from onrecord.sip.leg import Leg
from onrecord.sip.message import Request, Response
from onrecord.sip.reliable import OPTION_TAG
from onrecord.sip.uri import SipUri

MAX_RETRIES = 3
_NOTHING = Headers()


@dataclass(frozen=True, slots=True)
class Invitation:
    """Whom to call, as whom, and what to offer.

    The INVITE goes to the first of `destinations`, and to the next when one cannot be reached,
    stays silent or answers 503; by default to where the endpoint locates the target. Without a
    `body` the far side makes the offer. `headers` are added as they are. `content_type` is the
    body's where it is no plain description. `silence` is how many
    seconds nobody at all may answer before `TimedOut`; without it timer B decides.
    """

    target: SipUri
    caller: Address
    body: bytes = b""
    callee: Address | None = None
    destinations: tuple[Hop, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=())
    content_type: str = ""
    max_forwards: int = 70
    silence: float | None = None


class ClientLeg(Leg):
    """The user agent client of a call."""

    def __init__(self, core: Core, invitation: Invitation, now: float) -> None:
        super().__init__(core, LegId(core.tokens()))
        hops = invitation.destinations or core.transports.locate(invitation.target)
        first, *others = hops or (Hop.to(invitation.target),)
        self._invite = self._build(invitation, first)
        self._peer = first
        self._early = EarlyDialogs()
        self._retries = 0
        self._has_provisional = False
        self._is_cancelled = False
        self._cancel_sent = False
        silence = invitation.silence
        self.next_timer: float | None = None if silence is None else now + silence
        self.armed_for: float | None = None
        core.legs[self.id] = self
        if hops:
            core.layer.send_request(self._invite, first, self, now, others)
        else:  # nobody knows the name: a transport error (§8.1.3.1)
            self.on_response(self._invite, self._invite.response(503), now)
        core.layer.arm(self)

    def cancel(self, now: float) -> None:
        """Give up an unanswered call; the CANCEL waits for a first response (§9.1).

        The leg then ends with `Rejected` 487, or with `Ended` when an answer crossed the CANCEL.
        """
        if self._dialog is None and not self.is_over:
            self._is_cancelled = True
            self._core.layer.stay(self._invite)
            self._send_cancel(now)

    def bye(self, now: float, headers: Headers = _NOTHING) -> None:
        """Hang up; a call that is not answered yet is cancelled instead."""
        if self._dialog is None:
            self.cancel(now)
        else:
            super().bye(now, headers)

    def on_response(self, request: Request, response: Response, now: float) -> None:
        """Take a response to the INVITE or to what followed it."""
        if request is not self._invite:
            super().on_response(request, response, now)
        elif response.status < 200:
            self._on_provisional(response, now)
        elif response.status < 300:
            self._on_success(response, now)
        elif not self.is_over and not self._tries_again(response, now):
            self._core.events.append(
                Rejected(self.id, response.status, response.reason, response.headers)
            )
            self._finish()

    def on_timeout(self, request: Request, now: float) -> None:
        """Nobody answered the INVITE (timer B) or what followed it."""
        if request is not self._invite:
            super().on_timeout(request, now)
        elif not self.is_over:
            self._core.events.append(TimedOut(self.id, "response"))
            self._finish()

    def handle_timer(self, now: float) -> None:
        """Silence, or no final response within 64*T1 of a CANCEL (§9.1).

        After silence the transaction goes on: what rings later is cancelled, what answers hung up.
        """
        self.next_timer = None
        if self._dialog is None and not self.is_over:
            if self._cancel_sent:
                self._core.layer.abandon(self._invite)
            else:
                self._core.layer.leave(self._invite)
            self._is_cancelled = True
            self._core.events.append(TimedOut(self.id, "response"))
            self._finish()

    def _build(self, invitation: Invitation, peer: Hop) -> Request:
        headers = Headers([("Via", self._core.via())])
        headers.add("Max-Forwards", str(invitation.max_forwards))
        headers.add("From", str(invitation.caller.with_tag(self._core.tokens())))
        callee = invitation.callee or Address(invitation.target)
        headers.add("To", str(callee.with_tag("")))
        headers.add("Call-ID", self._core.tokens())
        headers.add("CSeq", "1 INVITE")
        for name, value in invitation.headers:
            headers.add(name, value)
        request = Request("INVITE", invitation.target, headers)
        self._core.describe(request, invitation.body, peer, request.uri)
        headers.override(self._session.fields())
        if not invitation.body:
            # The first reliable 18x would carry an offer, which the owner hears of in the 2xx only.
            headers.set("Supported", self._core.capabilities.supported(without=OPTION_TAG))
        elif invitation.content_type:
            headers.set("Content-Type", invitation.content_type)
        return request

    @property
    def _glare_seconds(self) -> float:
        """§14.1: how long to wait after 491 as the side that began the dialog: 2.1 to 4 s."""
        return 3.0

    def _tries_again(self, response: Response, now: float) -> bool:
        """Call once more: with an answer to a challenge, or with the interval of a 422 (§7.3)."""
        if self._is_cancelled or self._retries >= MAX_RETRIES:
            return False
        is_longer = response.status == 422 and self._session.lengthen(response)
        if not is_longer and not self._is_challenged(response):
            return False
        self._retries += 1
        headers = Headers(list(self._invite.headers))
        headers.override([("Via", self._core.via()), *self._session.fields()])
        if is_longer:
            headers.override([("Min-SE", response.headers.get("Min-SE") or "")])
        headers.set("CSeq", f"{self._invite.cseq.number + 1} INVITE")
        hop = self._hop
        self._invite = Request("INVITE", self._invite.uri, headers, self._invite.body)
        self._authorize(self._invite)
        self._early, self._has_provisional = EarlyDialogs(), False
        self._core.layer.send_request(self._invite, hop, self, now)
        return True

    def _on_provisional(self, response: Response, now: float) -> None:
        self._has_provisional = True
        if not self._cancel_sent:
            self.next_timer = None
        if self._is_cancelled:
            self._send_cancel(now)
        elif response.status > 100 and not self.is_over:
            early = self._early.take(self._dialog_of(response)) if response.to.tag else None
            if early is not None:
                self._core.register(early.key, self)
            sequence = self._early.sequence_of(response)
            if sequence is not None and not self._acknowledge_early(early, response, sequence, now):
                return
            self._early.describe(response)
            ringing = Ringing(
                self.id, response.status, response.reason, response.body, response.headers
            )
            self._core.events.append(ringing)

    def _acknowledge_early(
        self, early: Dialog | None, response: Response, sequence: int, now: float
    ) -> bool:
        """RFC 3262 §4: PRACK a reliable response once; False for one that is not to be heard."""
        if early is None or not self._early.is_next(response, sequence):
            return False
        prack = early.request("PRACK", self._core.via())
        prack.headers.add("RAck", f"{sequence} {self._invite.cseq}")
        peer = self._core.destination(early.next_hop, early.peer)
        self._core.layer.send_request(prack, peer, self, now)
        return True

    def _on_success(self, response: Response, now: float) -> None:
        dialog = self._early.confirm(self._dialog_of(response))
        known = self._dialog
        if known is not None and known.key == dialog.key:
            self._repeat_ack(known, self._invite, now)
        elif known is not None or self.is_over:
            self._refuse_fork(dialog, now)
        else:
            self._take(dialog, response, now)

    def _take(self, dialog: Dialog, response: Response, now: float) -> None:
        self._dialog = dialog
        self.next_timer = None
        body, self._early = self._early.description_of(response), EarlyDialogs()
        self._described = self._invite.body
        self._takes_update = "UPDATE" in response.headers.values("Allow")
        self._session.take(response, now)
        self._core.layer.arm(self._session)
        self._core.register(dialog.key, self)
        if self._invite.body or self._is_cancelled:
            self._acknowledge(dialog, self._invite, b"", now)
        else:
            self._unacknowledged = self._invite
        if self._is_cancelled:
            super().bye(now)  # the 2xx crossed our CANCEL: the far side thinks that it talks
        else:
            self._core.events.append(Answered(self.id, body, response.headers))

    def _refuse_fork(self, dialog: Dialog, now: float) -> None:
        """§13.2.2.4: another branch answered too; it is acknowledged and hung up, once."""
        is_new = (dialog.remote.tag, self._invite.cseq.number) not in self._acks
        self._acknowledge(dialog, self._invite, b"", now)
        if is_new:
            self._send_in(dialog, "BYE", now)

    def _dialog_of(self, response: Response) -> Dialog:
        return Dialog.for_client(self._invite, response, self._hop)

    @property
    def _hop(self) -> Hop:
        """Where the INVITE went, after all failovers."""
        self._peer = self._core.layer.hop_of(self._invite) or self._peer
        return self._peer

    def _send_cancel(self, now: float) -> None:
        if not self._has_provisional or self._cancel_sent:
            return
        self._cancel_sent = True
        invite = self._invite
        headers = Headers([("Via", str(invite.via)), ("Max-Forwards", "70")])
        headers.add("From", str(invite.from_))
        headers.add("To", str(invite.to))
        headers.add("Call-ID", invite.call_id)
        headers.add("CSeq", f"{invite.cseq.number} CANCEL")
        cancel = Request("CANCEL", invite.uri, headers)
        self._core.layer.send_request(cancel, self._hop, self, now)
        self.next_timer = now + self._core.layer.timers.give_up
        self._core.layer.arm(self)
