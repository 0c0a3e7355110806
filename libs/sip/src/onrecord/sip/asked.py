"""Requests inside a dialog that change no session: INFO, MESSAGE, NOTIFY, REFER, either way.

Theirs wait here for the owner's answer, ours for the far side's (RFC 3261 §12.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from onrecord.sip.core import Core
from onrecord.sip.dialog import Dialog
from onrecord.sip.events import LegId, Requested, RequestId, Responded
from onrecord.sip.message import Request, Response
from onrecord.sip.transaction.layer import ServerMachine

Fields = tuple[tuple[str, str], ...]
"""Header fields as an owner writes them: names and whole values."""

MAX_WAITING = 32
"""How many of one leg's requests may wait at once, either way; more are refused with 500."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A final response as an owner gives it; `headers` stand in place of ours of the same names."""

    status: int
    reason: str = ""
    headers: Fields = ()
    body: bytes = b""


class AskedRequests:
    """The open requests of one leg."""

    __slots__ = ("_core", "_leg", "_ours", "_theirs")

    def __init__(self, core: Core, leg: LegId) -> None:
        self._core = core
        self._leg = leg
        self._theirs: dict[RequestId, tuple[Request, ServerMachine]] = {}
        self._ours: dict[str, RequestId] = {}

    def receive(self, request: Request, machine: ServerMachine, now: float) -> None:
        """Hand a request to the owner."""
        if len(self._theirs) >= MAX_WAITING:
            busy = request.response(500)
            busy.headers.add("Retry-After", "1")
            self._core.layer.respond(machine, busy, now)
            return
        asked = RequestId(self._core.tokens())
        self._theirs[asked] = request, machine
        self._core.events.append(Requested(self._leg, asked, request))

    def respond(self, asked: RequestId, reply: Reply, now: float) -> None:
        """Answer one of theirs; nothing if it is answered or unknown."""
        request, machine = self._theirs.pop(asked, (None, None))
        if request is None or machine is None:
            return
        response = request.response(reply.status, reply.reason)
        response.headers.override(reply.headers)
        response.body = reply.body
        self._core.layer.respond(machine, response, now)

    def send(
        self, dialog: Dialog, method: str, headers: Fields, body: bytes, now: float
    ) -> RequestId:
        """Send one of ours; `Responded` follows, with 500 at once when too many wait already."""
        asked = RequestId(self._core.tokens())
        if len(self._ours) >= MAX_WAITING:
            self._core.events.append(Responded(self._leg, asked, 500, "", None))
            return asked
        peer = self._core.destination(dialog.next_hop, dialog.peer)
        request = dialog.request(method, self._core.via())
        request.headers.add("Contact", self._core.transports.contact(peer, request.uri))
        request.headers.override(headers)
        request.body = body
        self._ours[request.via.branch] = asked
        self._core.layer.send_request(request, peer, self, now)
        return asked

    def on_response(self, request: Request, response: Response, now: float) -> None:
        """Take the response to one of ours."""
        if response.status >= 200 and (asked := self._ours.pop(request.via.branch, None)):
            status, reason = response.status, response.reason
            self._core.events.append(Responded(self._leg, asked, status, reason, response))

    def on_timeout(self, request: Request, now: float) -> None:
        """One of ours was never answered: as good as 408 (§8.1.3.1)."""
        if asked := self._ours.pop(request.via.branch, None):
            self._core.events.append(Responded(self._leg, asked, 408, "Request Timeout", None))
