"""The writer's side of the mover's door: commands with deadlines, happenings as they come."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from onrecord.media_recorder.mover.control import (
    Json,
    MalformedMessage,
    Messages,
    encode,
)
from onrecord.media_recorder.ring import Ring
from onrecord.platform.errors import Refused, Unavailable

COMMAND_SECONDS: Final = 2.0


class MoverGone(Exception):
    """The connection to the mover ended: it died, or another writer took this one's place."""


class Attachment(NamedTuple):
    """What the mover gave when it was attached to.

    `early` is what it said right after; `messages` may hold the beginning of more.
    """

    connection: socket.socket
    ring: Ring
    about: Json
    early: list[Json]
    messages: Messages


class MoverClient:
    """One attachment to a mover. `on_happening` is called on the loop for each happening."""

    def __init__(
        self,
        attachment: Attachment,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Use `attach`."""
        self.ring = attachment.ring
        self.about = attachment.about
        self.on_happening: Callable[[Json], None] = lambda _happening: None
        self._early, self._messages = attachment.early, attachment.messages
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Json]] = {}

    @classmethod
    async def attach(cls, path: Path) -> MoverClient:
        """Connect, become the mover's one writer, map its ring. Raises OSError, `RingDamaged`."""
        attachment = await asyncio.to_thread(_attach, path)
        return cls(attachment, *await asyncio.open_unix_connection(sock=attachment.connection))

    async def run(self) -> None:
        """Read answers and happenings; ends by raising `MoverGone`."""
        arrived = self._early
        try:
            while True:
                for message in arrived:
                    self._take(message)
                data = await self._reader.read(1 << 18)
                if not data:
                    raise MoverGone("the mover closed the connection")
                arrived = self._messages.feed(data)
        except (OSError, MalformedMessage) as error:
            raise MoverGone(str(error)) from error
        finally:
            self._close()

    async def command(self, do: str, **arguments: object) -> Json:
        """Have one command done and give its answer.

        It is on its way before this first waits, and no command overtakes another. Raises `Refused`
        with the mover's reason, `Unavailable` if it does not answer in time.
        """
        if self._writer.is_closing():
            raise Unavailable("mover_missing", "the media mover is not attached")
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(encode({"do": do, "n": number, **arguments}))
            message = await asyncio.wait_for(answer, COMMAND_SECONDS)
        except (TimeoutError, OSError) as error:
            raise Unavailable("mover_missing", f"the media mover did not {do}") from error
        finally:
            self._waiting.pop(number, None)
        if "error" in message:
            raise Refused(str(message["error"]), str(message.get("detail", f"mover: {do}")))
        ok: Json = message["ok"]
        return ok

    def _take(self, message: Json) -> None:
        if "what" in message:
            self.on_happening(message)
            return
        answer = self._waiting.get(message.get("n", -1))
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _close(self) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Unavailable("mover_missing", "the media mover died"))
        self._writer.close()


def _attach(path: Path) -> Attachment:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(COMMAND_SECONDS)
        connection.connect(str(path))
        connection.sendall(encode({"do": "attach", "n": 0}))
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 1)
        messages = Messages()
        said = messages.feed(data)
        if not descriptors or not said or "ok" not in said[0]:
            raise OSError("the mover did not answer with its ring")
        ring = Ring.attach(descriptors[0])
    except (OSError, MalformedMessage) as error:
        connection.close()
        raise OSError(f"no mover at {path}: {error}") from error
    connection.setblocking(False)
    return Attachment(connection, ring, said[0]["ok"], said[1:], messages)
