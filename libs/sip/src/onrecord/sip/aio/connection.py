"""One TCP or TLS stream: octets in, whole messages out, and the bounds on what it may hold."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace
from typing import Protocol

from onrecord.sip.aio.security import Security, TlsStream
from onrecord.sip.hop import Hop
from onrecord.sip.stream import PING, PONG, Framer


class Table(Protocol):
    """What a connection needs of the table that it is in."""

    def admit(self, connection: Connection) -> bool:
        """Whether somebody who has connected may stay."""

    def trusts(self, names: frozenset[str]) -> bool:
        """Whether a certificate with these names is one of a peer's."""

    def receive(self, connection: Connection, message: bytes) -> None:
        """Take a message."""

    def lost(self, connection: Connection, reason: str) -> None:
        """Forget a connection that is over; `reason` is a slug, empty when nothing was wrong."""


class Connection(asyncio.Protocol):
    """One stream, ours or theirs, from its first octet; `security` is there for TLS only.

    `hop` is where it leads, with its number; `names` are what the far side's certificate says.
    It is open when messages may pass: connected, and with TLS the certificate is a peer's. What is
    sent before that waits, no more than `unsent` octets of it.
    """

    def __init__(
        self, hop: Hop, table: Table, security: Security | None, unsent: int, *, is_ours: bool
    ) -> None:
        self.hop = hop
        self.is_ours = is_ours
        self.is_open = False
        self.is_silent = True
        self.names: frozenset[str] = frozenset()
        self.heard_at = self.began_at = asyncio.get_running_loop().time()
        self._table = table
        self._tls = TlsStream(security, is_server=not is_ours) if security is not None else None
        self._unsent = unsent
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._waiting = bytearray()
        self._is_over = False

    @property
    def is_inside_message(self) -> bool:
        """Whether a message has begun, at `began_at`, and not ended."""
        return self._framer.is_inside

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; any kind, because uvloop's is its own class."""
        self._transport = transport  # type: ignore[assignment]
        if self._is_over:  # given up while the network still connected
            transport.close()
            return
        if not self.is_ours:
            peer = transport.get_extra_info("peername") or ("", 0)
            self.hop = replace(self.hop, host=peer[0], port=peer[1])
            if not self._table.admit(self):
                self.end("")
                return
        if self._tls is None:
            self._open()
        else:
            self.data_received(b"")

    def send(self, message: bytes) -> None:
        """Send a message; a far side that does not read is given up."""
        if self._is_over:
            return
        if not self.is_open:
            self._waiting += message
        elif self._tls is None:
            self._write(message)
        else:
            with contextlib.suppress(ssl.SSLError):  # what reads will say so too
                self._tls.send(message)
            self._write(self._tls.octets_to_send())
        if len(self._waiting) > self._unsent:
            self.end("slow_reader")

    def data_received(self, data: bytes) -> None:
        """Take octets, decrypt them, and cut messages out of them."""
        if self._is_over:
            return
        if self._tls is not None:
            try:
                data = self._tls.receive(data)
            except ssl.SSLError:
                self._write(self._tls.octets_to_send())  # the alert says why
                self.end("tls_broken" if self.is_open else "tls_handshake")
                return
            self._write(self._tls.octets_to_send())
            if self._tls.is_secure and not self.is_open:
                self._check_certificate(self._tls)
        if self.is_open and data:
            self._read(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The far side closed, or the network did."""
        self.end("")

    def end(self, reason: str) -> None:
        """Close at once, for a reason if something was wrong, and leave the table."""
        if self._is_over:
            return
        self._is_over, self.is_open = True, False
        if self._transport is not None:
            if self._transport.get_write_buffer_size():
                self._transport.abort()  # a close would wait for a far side that does not read
            else:
                self._transport.close()
        self._table.lost(self, reason)

    def _check_certificate(self, tls: TlsStream) -> None:
        self.names = tls.names
        if self._table.trusts(self.names):
            self._open()
        else:
            self.end("tls_name")

    def _open(self) -> None:
        self.is_open = True
        waiting = bytes(self._waiting)
        self._waiting.clear()
        if waiting:
            self.send(waiting)

    def _read(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        was_inside = self._framer.is_inside
        messages = self._framer.receive(data)
        if messages or not was_inside:
            self.began_at = now
        for message in messages:
            self.is_silent, self.heard_at = False, now
            if message == PING:
                self.send(PONG)
            else:
                self._table.receive(self, message)
        if self._framer.fault is not None:
            self.end(self._framer.fault.reason)

    def _write(self, octets: bytes) -> None:
        if self._transport is None or not octets:
            return
        self._transport.write(octets)
        if self._transport.get_write_buffer_size() > self._unsent:
            self.end("slow_reader")
