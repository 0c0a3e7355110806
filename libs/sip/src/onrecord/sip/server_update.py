"""RFC 3311 §5.2: the server's side of an UPDATE that carries an offer."""

from __future__ import annotations

from onrecord.sip.core import Core
from onrecord.sip.headers import Headers
from onrecord.sip.message import Request
from onrecord.sip.transaction.layer import ServerMachine

_NOTHING = Headers()


class ServerUpdate:
    """Waits for the owner's answer; there is no ACK, so nothing is retransmitted by us."""

    awaits_ack = False

    def __init__(self, core: Core, request: Request, machine: ServerMachine) -> None:
        self.request = request
        self.is_answered = False
        self._core = core
        self._machine = machine

    def accept(self, body: bytes, now: float, headers: Headers = _NOTHING) -> None:
        """Send 200 with our answer."""
        self._answer(200, "", headers, now, body)

    def refuse(self, status: int, reason: str, headers: Headers, now: float) -> None:
        """Send a failure: the session stays as it was."""
        self._answer(status, reason, headers, now)

    def acknowledge(self, _ack: Request) -> bool:
        """An UPDATE has no ACK."""
        return False

    def stop(self) -> None:
        """Nothing waits here."""

    def _answer(
        self, status: int, reason: str, headers: Headers, now: float, body: bytes = b""
    ) -> None:
        response = self.request.response(status, reason)
        if status < 300:
            self._core.describe(response, body, self._machine.peer, self.request.uri)
        response.headers.override(headers)
        self.is_answered = True
        self._core.layer.respond(self._machine, response, now)
