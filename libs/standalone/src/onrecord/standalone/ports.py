"""Ports for a stack: picked once, free, and not given to a second stack meanwhile."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass

from onrecord.standalone.errors import StartFailed

FIRST_PORT, LAST_PORT = 10_000, 19_999
"""Below the usual range for outgoing connections, so that none of those takes a port whose server
restarts, and below the one that RTP uses."""
_ATTEMPTS = 500


@dataclass(frozen=True)
class ReservedPort:
    """A port that stays ours while its process restarts.

    What is reserved for TCP is held by a UDP socket of the same number, and the other way round:
    every stack asks for both kinds, so none takes a port whose process is just down.
    """

    number: int
    holder: socket.socket

    def release(self) -> None:
        """Give the port back."""
        self.holder.close()


def reserve(kind: socket.SocketKind, host: str = "127.0.0.1") -> ReservedPort:
    """Find a port that is free for both kinds and hold it for a server of this kind.

    Raises `StartFailed` when none is free.
    """
    for _ in range(_ATTEMPTS):
        number = random.randint(FIRST_PORT, LAST_PORT)  # noqa: S311 - not a secret
        held = _hold(kind, host, number)
        if held is not None:
            return held
    raise StartFailed(f"no free port on {host} from {FIRST_PORT} to {LAST_PORT}")


def reserve_given(kind: socket.SocketKind, host: str, number: int) -> ReservedPort:
    """Hold a port that the user chose; raises `StartFailed` when it is taken."""
    held = _hold(kind, host, number)
    if held is None:
        raise StartFailed(f"{host}:{number} is in use or not an address of this machine")
    return held


def _hold(kind: socket.SocketKind, host: str, number: int) -> ReservedPort | None:
    other = socket.SOCK_STREAM if kind == socket.SOCK_DGRAM else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, other)
    if other == socket.SOCK_STREAM:
        # SIP has one port for both kinds: with this option on both sides a TCP server may listen
        # where this socket, which does not listen, is bound.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        with socket.socket(family, kind) as wanted:
            wanted.bind((host, number))
            holder.bind((host, number))
    except OSError:
        holder.close()
        return None
    return ReservedPort(number, holder)
