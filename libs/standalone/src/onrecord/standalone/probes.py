"""Is it up? Each probe answers with the reason why not, empty when it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

Probe = Callable[[], Awaitable[str]]
"""Asked again and again while a process comes up; must answer soon and raise nothing."""

PROBE_SECONDS = 2.0
_MAX_REPLY = 4096


def accepts_tcp(host: str, port: int) -> Probe:
    """Up when it accepts a connection."""

    async def probe() -> str:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), PROBE_SECONDS)
        except (OSError, TimeoutError):
            return f"nothing listens on {host}:{port}"
        writer.close()
        return ""

    return probe


def accepts_unix(path: Path) -> Probe:
    """Up when a socket file of any kind is there that somebody reads."""

    async def probe() -> str:
        # One stat of a local file: nothing to wait for.
        return "" if path.is_socket() else f"no socket at {path.name}"  # noqa: ASYNC240

    return probe


def says_ready(host: str, port: int, path: str = "/readyz") -> Probe:
    """Up when it answers 200 over HTTP; its reply's body is the reason otherwise."""

    async def probe() -> str:
        try:
            return await asyncio.wait_for(_get(host, port, path), PROBE_SECONDS)
        except (OSError, TimeoutError):
            return f"no answer from http://{host}:{port}{path}"

    return probe


async def _get(host: str, port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        reply = b""
        while len(reply) < _MAX_REPLY and (piece := await reader.read(_MAX_REPLY)):
            reply += piece
    finally:
        writer.close()
    status, _, rest = reply.decode("utf-8", "replace").partition("\r\n")
    if status.split(" ")[1:2] == ["200"]:
        return ""
    return rest.partition("\r\n\r\n")[2].strip() or status or "an empty reply"
