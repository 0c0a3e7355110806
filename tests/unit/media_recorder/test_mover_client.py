"""The writer's side of the mover's door hears everything, however the bytes are cut."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from onrecord.media_recorder.adapters.mover import MoverClient, MoverGone
from onrecord.media_recorder.mover.control import encode
from onrecord.media_recorder.ring import Ring

WAIT_SECONDS = 5


class CutMover(threading.Thread):
    """Answers `attach` with its ring and half of a happening; the other half comes later."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.ring, self.attached = Ring.create(4096), threading.Event()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.start()

    def run(self) -> None:
        """Serve one writer."""
        connection, _ = self.listener.accept()
        with self.listener, connection:
            connection.recv(1 << 10)
            told = encode({"what": "first_packet", "call": "c1", "leg": "caller"})
            answer = encode({"n": 0, "ok": {"mover": "test"}})
            socket.send_fds(connection, [answer + told[:5]], [self.ring.descriptor])
            self.attached.wait(WAIT_SECONDS)
            connection.sendall(told[5:])


async def test_a_happening_cut_by_the_attachment_is_heard(tmp_path: Path) -> None:
    """What arrived with the ring's descriptor is the beginning of the stream, not a part of it."""
    mover = CutMover(tmp_path / "mover.sock")
    client = await MoverClient.attach(tmp_path / "mover.sock")
    heard: list[dict[str, Any]] = []
    client.on_happening = heard.append
    mover.attached.set()
    with pytest.raises(MoverGone, match="closed"):
        await asyncio.wait_for(client.run(), WAIT_SECONDS)
    assert [one["what"] for one in heard] == ["first_packet"]
