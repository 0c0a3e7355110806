"""What the legs of one endpoint share: addresses, tokens, tables, and the way out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from onrecord.sip.capabilities import SDP_TYPE, Capabilities
from onrecord.sip.dialog import DialogKey
from onrecord.sip.digest import Credentials
from onrecord.sip.events import Event, LegId
from onrecord.sip.headers import BRANCH_COOKIE
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response
from onrecord.sip.transaction.base import Timers, TransactionKey
from onrecord.sip.transaction.layer import TransactionLayer
from onrecord.sip.transport import Transports
from onrecord.sip.uri import SipUri

if TYPE_CHECKING:
    from onrecord.sip.leg import Leg
    from onrecord.sip.server_leg import ServerLeg


class Core:
    """The endpoint's own state, as its legs see it."""

    def __init__(
        self,
        transports: Transports,
        tokens: Callable[[], str],
        timers: Timers,
        capabilities: Capabilities,
        credentials: Mapping[str, Credentials],
    ) -> None:
        self.transports = transports
        self.tokens = tokens
        self.capabilities = capabilities
        self.credentials = credentials
        self.layer = TransactionLayer(timers, self.transports, self.branch)
        self.events: deque[Event] = deque()
        self.legs: dict[LegId, Leg] = {}
        self.dialogs: dict[DialogKey, Leg] = {}
        self.unanswered: dict[TransactionKey, ServerLeg] = {}

    def via(self) -> str:
        """Return a Via with a branch of its own; the transport completes it."""
        return self.transports.via(self.branch())

    def branch(self) -> str:
        """Return a new branch (§8.1.1.7)."""
        return BRANCH_COOKIE + self.tokens()

    def destination(self, uri: SipUri, peer: Hop) -> Hop:
        """Where a request for `uri` goes in a dialog whose far side is at `peer`.

        Over the far side's own connection where that leads to the same host (RFC 5923's spirit),
        and back to `peer` where the host is a name: those are not looked up here.
        """
        hop = Hop.to(uri)
        if not hop.is_address:
            return peer
        if (hop.transport, hop.host) == (peer.transport, peer.host):
            return replace(hop, connection=peer.connection)
        return hop

    def describe(self, message: Request | Response, body: bytes, peer: Hop, uri: SipUri) -> None:
        """Give a message what an INVITE and its answers carry: who we are, what we take, a body.

        `peer` is where it goes, `uri` the Request-URI of the INVITE (see `Transports.contact`).
        """
        message.headers.set("Contact", self.transports.contact(peer, uri))
        self.capabilities.describe(message.headers)
        if body:
            message.headers.set("Content-Type", SDP_TYPE)
            message.body = body

    def forget(self, leg: Leg) -> None:
        """Take a leg that is over out of the tables."""
        self.legs.pop(leg.id, None)
        for key in leg.dialog_keys:
            self.dialogs.pop(key, None)
        leg.dialog_keys.clear()

    def register(self, key: DialogKey, leg: Leg) -> None:
        """Let requests inside the dialog `key` find `leg`."""
        self.dialogs[key] = leg
        leg.dialog_keys.add(key)
