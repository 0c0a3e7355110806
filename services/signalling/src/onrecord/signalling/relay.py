"""Requests inside a call that change nothing of it: INFO (digits too) and MESSAGE go through.

The answer comes back as the other side gave it. That the other side does not know its dialog or
never answered is not this side's concern: it would end a call over a digit (RFC 3261 §12.2.1.2).
"""

from __future__ import annotations

from onrecord.signalling.domain.crossing import RELAYED, crossing
from onrecord.signalling.domain.direct_session import other
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.running import RunningCall
from onrecord.sip import events as sip
from onrecord.sip.asked import Reply
from onrecord.sip.endpoint import Endpoint
from onrecord.sip.headers import Headers

_NO_WAY_THROUGH = Reply(480)
_NOT_TAKEN = Reply(403)
_FAR_SIDE_FAILED = Reply(500)
_ENDS_A_CALL = frozenset({408, 481})


class Relay:
    """Which request of one side waits for the answer of the other; the endpoint bounds them."""

    def __init__(self) -> None:
        self._waiting: dict[sip.RequestId, tuple[sip.LegId, sip.RequestId]] = {}

    def pass_on(
        self,
        endpoint: Endpoint,
        running: RunningCall,
        party: Party,
        event: sip.Requested,
        now: float,
    ) -> None:
        """Send a request to the other side, or refuse it where that cannot be."""
        request, there = event.request, running.legs.get(other(party))
        if request.method not in RELAYED:
            endpoint.respond(event.leg, event.id, _NOT_TAKEN, now)
            return
        headers = crossing(request.method, request.headers)
        asked = there and endpoint.ask(
            there, request.method, now, headers=headers, body=request.body
        )
        if asked is None or not asked:
            endpoint.respond(event.leg, event.id, _NO_WAY_THROUGH, now)
        else:
            self._waiting[asked] = event.leg, event.id

    def pass_back(self, endpoint: Endpoint, event: sip.Responded, now: float) -> None:
        """Answer the request that this is the answer to."""
        waiting = self._waiting.pop(event.id, None)
        if waiting is None:
            return
        response = event.response
        reply = _FAR_SIDE_FAILED
        if event.status not in _ENDS_A_CALL:
            headers = crossing("reply", response.headers if response else Headers())
            body = response.body if response else b""
            reply = Reply(event.status, event.reason, headers, body)
        endpoint.respond(*waiting, reply, now)
