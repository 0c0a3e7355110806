"""Ports for a stack: picked once, free, and not given to a second stack meanwhile."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass
from pathlib import Path

from onrecord.standalone.errors import StartFailed

FIRST_PORT = 10_000
DEFAULT_LAST_PORT = 32_767
_ATTEMPTS = 500
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


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

    Below the system's range for outgoing connections, so that none of those takes it while the
    server restarts. Raises `StartFailed` when no port is free.
    """
    for _ in range(_ATTEMPTS):
        number = random.randint(FIRST_PORT, _last_port())  # noqa: S311 - not a secret
        held = _hold(kind, host, number)
        if held is not None:
            return held
    raise StartFailed(f"no free port on {host} from {FIRST_PORT} to {_last_port()}")


def reserve_given(kind: socket.SocketKind, host: str, number: int) -> ReservedPort:
    """Hold a port that the user chose; raises `StartFailed` when it is taken."""
    held = _hold(kind, host, number)
    if held is None:
        raise StartFailed(f"{host}:{number} is in use or not an address of this machine")
    return held


def _hold(kind: socket.SocketKind, host: str, number: int) -> ReservedPort | None:
    other = socket.SOCK_STREAM if kind == socket.SOCK_DGRAM else socket.SOCK_DGRAM
    holder = socket.socket(socket.AF_INET, other)
    try:
        with socket.socket(socket.AF_INET, kind) as wanted:
            wanted.bind((host, number))
            holder.bind((host, number))
    except OSError:
        holder.close()
        return None
    return ReservedPort(number, holder)


def _last_port() -> int:
    try:
        first_ephemeral = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return DEFAULT_LAST_PORT
    return max(first_ephemeral - 1, FIRST_PORT + 1000)
