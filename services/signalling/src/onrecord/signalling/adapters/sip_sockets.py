"""The service's SIP sockets: which addresses, which certificate, and who may talk to us."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from onrecord.platform.clock import monotonic
from onrecord.platform.telemetry import get_logger
from onrecord.signalling.adapters.names import Names
from onrecord.signalling.routes import Emergency, Routes
from onrecord.signalling.settings import SignallingSettings
from onrecord.sip.admission import Admission
from onrecord.sip.aio import Security, SipSockets
from onrecord.sip.errors import SipError
from onrecord.sip.events import Event
from onrecord.sip.hop import Hop, Transport
from onrecord.sip.uri import split_host_port

log = get_logger()


STRANGER_SECONDS = 60.0
"""How often a stranger is told of at most: a flood of them must not become one of lines."""


class RoutesGuard:
    """Lets in whom the routes file names: peers, and where calls are sent to.

    A stranger gets no answer; the log says so, for who forgot a peer.
    """

    def __init__(
        self, routes: Routes, names: Names, file: Path, now: Callable[[], float] = monotonic
    ) -> None:
        """`file` is named to who reads the log."""
        self._routes = routes
        self._names = names
        self._file = str(file)
        self._now = now
        self._quiet_until = 0.0

    def knows(self, hop: Hop) -> bool:
        """By address; with TLS from anywhere if a peer is known by name: its certificate tells."""
        by_name = hop.transport == "tls" and self._routes.has_names
        is_target = hop.host in self._names.addresses
        known = by_name or is_target or hop.host in self._routes.sources
        if not known and self._now() >= self._quiet_until:
            self._quiet_until = self._now() + STRANGER_SECONDS
            log.warning(
                "sip from an address that is not in [peers] dropped",
                routes=self._file,
                transport=hop.transport,
                **{"pii.source": hop.host},
            )
        return known

    def trusts(self, names: frozenset[str]) -> bool:
        """Whether a certificate names a peer, or a host that calls are sent to."""
        return not names.isdisjoint(self._routes.sources)


def open_sockets(
    settings: SignallingSettings,
    routes: Routes,
    names: Names,
    on_event: Callable[[Event], None],
) -> SipSockets:
    """Make the sockets that the settings ask for, not bound yet.

    Raises ValueError for an address, OSError for certificate files that cannot be used.
    """
    security = None
    tls = settings.sip_tls_cert, settings.sip_tls_key, settings.sip_tls_ca
    if settings.sip_tls_listen and all(tls):
        security = Security.load(*(path for path in tls if path is not None))
    return SipSockets(
        _addresses(settings, lambda listen, _advertised: listen),
        on_event,
        guard=RoutesGuard(routes, names, settings.routes),
        security=security,
        admission=Admission(
            settings.sip_new_per_second,
            lambda uri: isinstance(routes.find(uri.number), Emergency),
        ),
        report=log.error,
    )


def local_addresses(settings: SignallingSettings) -> list[Hop]:
    """Return what peers reach us at, for Via and Contact. Raises ValueError."""
    return _addresses(settings, lambda listen, advertised: advertised or listen)


def _addresses(settings: SignallingSettings, choose: Callable[[str, str], str]) -> list[Hop]:
    found: list[Hop] = []
    ways: tuple[tuple[str, str, tuple[Transport, ...]], ...] = (
        ("ONRECORD_SIP_LISTEN", settings.sip_listen, ("udp", "tcp")),
        ("ONRECORD_SIP_TLS_LISTEN", settings.sip_tls_listen, ("tls",)),
    )
    advertised = [host.strip().strip("[]") for host in settings.sip_advertise.split(",")]
    for name, text, transports in ways:
        for index, part in enumerate(text.split(",") if text else ()):
            host, port = _address(name, part.strip())
            outside = advertised[index] if index < len(advertised) else ""
            found += [Hop(each, choose(host, outside), port) for each in transports]
    return found


def _address(name: str, text: str) -> tuple[str, int]:
    how = "write ADDRESS:PORT, such as 127.0.0.1:5060 or [::1]:5060"
    try:
        host, port = split_host_port(text)
    except SipError as fault:
        raise ValueError(f"{name}: {fault.detail}; {how}") from None
    if port is None or not Hop("udp", host.strip("[]"), port).is_address:
        raise ValueError(f"{name}: {how}")
    return host.strip("[]"), port
