"""The process around the engine: one thread, one epoll, a tick of 2 ms while a leg is open."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from onrecord.media_recorder.memory import lock_mapping, lock_process
from onrecord.media_recorder.mover.control import (
    Control,
    Json,
    MalformedMessage,
    Messages,
    encode,
)
from onrecord.media_recorder.mover.engine import Engine
from onrecord.media_recorder.mover.holding import Limits
from onrecord.media_recorder.mover.sockets import LegSockets
from onrecord.media_recorder.ring import Ring

TICK: Final = 0.002
# With no leg open only the control socket can wake it; a signal interrupts the wait.
IDLE: Final = 1.0
# What a writer that does not read may let pile up before it counts as gone.
MAX_WAITING: Final = 32 << 20


class Mover:
    """Owns the ring, the legs' sockets and the control socket until it is told to stop."""

    def __init__(
        self, path: Path, host: str, ports: range, ring_octets: int, limits: Limits
    ) -> None:
        """Make the ring and listen on `path`, which only this user may open. Raises OSError."""
        self._epoll = select.epoll()
        self._ring = Ring.create(ring_octets)
        # What waits for a permit is in this process's own memory.
        locked = all([lock_mapping(self._ring.map), lock_process()])
        self._engine = Engine(self._ring, random.SystemRandom().getrandbits, limits)
        self._legs = LegSockets(host, ports, self._epoll)
        about: Json = {"mover": "sockets", "locked": locked, "pid": os.getpid(), "host": host}
        self._control = Control(self._engine, self._ring, self._legs, about)
        self._listener = _listen(path)
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._writer: socket.socket | None = None
        self._messages = Messages()
        self._waiting = b""
        self._stopping = False

    def run(self) -> None:
        """Move packets until SIGTERM or SIGINT."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        while not self._stopping:
            if self._engine.idle:
                ready = self._epoll.poll(IDLE)
            else:
                # Draining on a tick costs a third of waking for every packet.
                time.sleep(TICK)
                ready = self._epoll.poll(0)
            self._step([descriptor for descriptor, _ in ready])

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _step(self, ready: list[int]) -> None:
        # Packets first: what reached the machine before a stop or close belongs to before it.
        for descriptor in ready:
            self._take_packets(descriptor)
        if self._writer is not None and self._writer.fileno() in ready:
            self._take_commands()
            self._flush()
        if self._listener.fileno() in ready:
            self._accept()
        for send in self._engine.tick(time.monotonic(), time.time_ns()):
            if not self._legs.send(send):
                self._engine.unsent(send.flow)
        self._tell_happenings()

    def _tell_happenings(self) -> None:
        for happening in self._control.happenings():
            self._tell(happening)

    def _take_packets(self, descriptor: int) -> None:
        for flow, datagram, source in self._legs.drain(descriptor):
            send = self._engine.receive(flow, datagram, source, time.monotonic(), time.time_ns())
            if send is not None:
                self._legs.send(send)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            # It went away again, or the descriptors are used up: the next tick looks again.
            return
        self._drop_writer()
        accepted.setblocking(False)
        self._writer, self._messages, self._waiting = accepted, Messages(), b""
        self._epoll.register(accepted.fileno(), select.EPOLLIN)

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._epoll.unregister(self._writer.fileno())
            self._writer.close()
            self._writer = None

    def _take_commands(self) -> None:
        writer = self._writer
        if writer is None:
            return
        try:
            data = writer.recv(1 << 18)
            requests = self._messages.feed(data)
        except BlockingIOError:
            return
        except (OSError, MalformedMessage):
            self._drop_writer()
            return
        if not data:
            self._drop_writer()
        for request in requests:
            answer = self._control.handle(request, time.monotonic(), time.time_ns())
            self._tell_happenings()  # What ended by a close is heard before the close is answered.
            self._tell(answer, with_ring=request.get("do") == "attach")

    def _tell(self, message: Json, *, with_ring: bool = False) -> None:
        if self._writer is None:
            return
        self._waiting += encode(message)
        if len(self._waiting) > MAX_WAITING:
            self._drop_writer()
        self._flush([self._ring.descriptor] if with_ring else [])

    def _flush(self, descriptors: Sequence[int] = ()) -> None:
        """Send what waits for the writer, as far as it is read."""
        if self._writer is None or not self._waiting:
            return
        try:
            sent = socket.send_fds(self._writer, [self._waiting], descriptors)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop_writer()
            return
        self._waiting = self._waiting[sent:]
        events = select.EPOLLIN | (select.EPOLLOUT if self._waiting else 0)
        self._epoll.modify(self._writer.fileno(), events)


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(4)
    return listener
