"""Ports for a stack: picked once, free, and not given to a second stack meanwhile."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
from dataclasses import dataclass

from onrecord.standalone.errors import StartFailed

FIRST_PORT, LAST_PORT = 10_000, 19_999
"""Below the usual range for outgoing connections, so that none of those takes a port whose server
restarts, and below the one that RTP uses."""
_ATTEMPTS = 500
_REASONS = {
    errno.EADDRINUSE: "is in use",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
    errno.EACCES: "may be used by root only",
}


@dataclass(frozen=True)
class ReservedPort:
    """A port that stays ours while its process restarts.

    What is reserved for TCP is held by a UDP socket of the same number, and the other way round, so
    that nobody takes a port whose process is just down. Two stacks know of each other by a name.
    """

    number: int
    holders: tuple[socket.socket, ...]

    def release(self) -> None:
        """Give the port back."""
        for holder in self.holders:
            holder.close()


def reserve(
    kind: socket.SocketKind, host: str = "127.0.0.1", *, first: int | None = None
) -> ReservedPort:
    """Find a port that is free for both kinds and hold it for a server of this kind.

    `first` is tried before any other. Raises `StartFailed` when none is free.
    """
    for attempt in range(_ATTEMPTS):
        number = random.randint(FIRST_PORT, LAST_PORT)  # noqa: S311 - not a secret
        if first is not None and not attempt:
            number = first
        with contextlib.suppress(OSError):
            return _hold(kind, host, number)
    raise StartFailed(f"no free port on {host} from {FIRST_PORT} to {LAST_PORT}")


def reserve_given(kind: socket.SocketKind, host: str, number: int) -> ReservedPort:
    """Hold a port that the user chose; raises `StartFailed` with the reason why it cannot be."""
    try:
        return _hold(kind, host, number)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
        raise StartFailed(f"{host}:{number} {reason}") from None


def _hold(kind: socket.SocketKind, host: str, number: int) -> ReservedPort:
    other = socket.SOCK_STREAM if kind == socket.SOCK_DGRAM else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, other)
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if other == socket.SOCK_STREAM:
        # SIP has one port for both kinds: with this option on both sides a TCP server may listen
        # where this socket, which does not listen, is bound.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        # In the abstract namespace (unix(7)): gone with the process, whatever happens to it.
        claim.bind(f"\0onrecord {host} {number}")
        with socket.socket(family, kind) as wanted:
            wanted.bind((host, number))
            holder.bind((host, number))
    except OSError:
        holder.close()
        claim.close()
        raise
    return ReservedPort(number, (holder, claim))
