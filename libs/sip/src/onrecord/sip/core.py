"""What the legs of one endpoint share: addresses, tokens, tables, and the way out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING

from onrecord.sip.capabilities import SDP_TYPE, Capabilities
from onrecord.sip.dialog import DialogKey
from onrecord.sip.events import Event, LegId
from onrecord.sip.headers import BRANCH_COOKIE
from onrecord.sip.message import Request, Response
from onrecord.sip.transaction.base import HostPort, Timers, TransactionKey
from onrecord.sip.transaction.layer import TransactionLayer
from onrecord.sip.uri import SipUri

if TYPE_CHECKING:
    from onrecord.sip.leg import Leg
    from onrecord.sip.server_leg import ServerLeg


class Core:
    """The endpoint's own state, as its legs see it."""

    def __init__(
        self,
        address: HostPort,
        tokens: Callable[[], str],
        timers: Timers,
        capabilities: Capabilities,
    ) -> None:
        self.address = address
        self.tokens = tokens
        self.capabilities = capabilities
        self.layer = TransactionLayer(timers)
        self.events: deque[Event] = deque()
        self.legs: dict[LegId, Leg] = {}
        self.dialogs: dict[DialogKey, Leg] = {}
        self.unanswered: dict[TransactionKey, ServerLeg] = {}
        self.contact = f"<sip:{address[0]}:{address[1]}>"

    def via(self) -> str:
        """Return a Via with a branch of its own; `rport` asks for answers to our source port."""
        host, port = self.address
        return f"SIP/2.0/UDP {host}:{port};rport;branch={BRANCH_COOKIE}{self.tokens()}"

    def destination(self, uri: SipUri, otherwise: HostPort) -> HostPort:
        """Where a request for `uri` goes; a host that is a name is not looked up (no RFC 3263)."""
        host, port = uri.address
        try:
            IPv4Address(host)
        except AddressValueError:
            return otherwise
        return host, port

    def describe(self, message: Request | Response, body: bytes) -> None:
        """Give a message what an INVITE and its answers carry: who we are, what we take, a body."""
        message.headers.set("Contact", self.contact)
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
