"""RFC 3261 §12: dialogs, their route sets, and the requests inside them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from onrecord.sip.errors import SipError
from onrecord.sip.headers import Address, Headers
from onrecord.sip.hop import Hop
from onrecord.sip.message import Request, Response
from onrecord.sip.uri import SipUri

DialogKey = tuple[str, str, str]


@dataclass(slots=True)
class Dialog:
    """One peer-to-peer relation: Call-ID, both tags, sequence numbers, where requests go.

    `local` and `remote` are the From/To values with their tags as they stand in our requests.
    `peer` is where the far side's messages came from: used when the next hop names no address.
    """

    call_id: str
    local: Address
    remote: Address
    remote_target: SipUri
    peer: Hop
    route_set: list[Address] = field(default_factory=list)
    local_cseq: int = 0
    remote_cseq: int | None = None

    @classmethod
    def for_server(cls, invite: Request, local_tag: str, peer: Hop) -> Dialog:
        """§12.1.1: the dialog of a request that we answer; raise `SipError` without a Contact."""
        return cls(
            call_id=invite.call_id,
            local=invite.to.with_tag(local_tag),
            remote=invite.from_,
            remote_target=_target(invite),
            peer=peer,
            route_set=list(invite.record_routes),
            remote_cseq=invite.cseq.number,
        )

    @classmethod
    def for_client(cls, invite: Request, response: Response, peer: Hop) -> Dialog:
        """§12.1.2: the dialog that a response opens; a missing Contact leaves the INVITE's URI."""
        return cls(
            call_id=invite.call_id,
            local=invite.from_,
            remote=response.to,
            remote_target=response.contact.uri if response.contact else invite.uri,
            peer=peer,
            route_set=list(response.record_routes[::-1]),
            local_cseq=invite.cseq.number,
        )

    def copy(self) -> Dialog:
        """Another dialog as this one stands now."""
        return replace(self, route_set=list(self.route_set))

    @property
    def key(self) -> DialogKey:
        """Call-ID, our tag, their tag."""
        return self.call_id, self.local.tag, self.remote.tag

    def request(self, method: str, via: str, *, cseq: int = 0) -> Request:
        """Build an in-dialog request (§12.2.1.1); `cseq` is the INVITE's for an ACK, else the next.

        A first route without `lr` is a strict router: it takes the Request-URI's place.
        """
        uri, routes = self.remote_target, list(self.route_set)
        if routes and not routes[0].uri.is_loose_router:
            uri = routes.pop(0).uri
            routes.append(Address(self.remote_target))
        if not cseq:
            self.local_cseq += 1
            cseq = self.local_cseq
        headers = Headers([("Via", via), ("Max-Forwards", "70")])
        for route in routes:
            headers.add("Route", str(route))
        headers.add("From", str(self.local))
        headers.add("To", str(self.remote))
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{cseq} {method}")
        return Request(method, uri, headers)

    @property
    def next_hop(self) -> SipUri:
        """The URI whose host and port the next request is sent to."""
        return self.route_set[0].uri if self.route_set else self.remote_target

    def accept_sequence(self, number: int) -> None:
        """Note the far side's next CSeq (§12.2.2); raise `SipError` 500 when it goes backwards."""
        if self.remote_cseq is not None and number <= self.remote_cseq:
            raise SipError("cseq_out_of_order", "the CSeq is not above the last one", status=500)
        self.remote_cseq = number

    def refresh_target(self, message: Request | Response) -> None:
        """Take the Contact of a re-INVITE or of its 2xx as the new target (§12.2.1.2, §12.2.2)."""
        if message.contact is not None:
            self.remote_target = message.contact.uri


def _target(invite: Request) -> SipUri:
    if invite.contact is None:
        raise SipError("missing_contact", "an INVITE must name its Contact")
    return invite.contact.uri
