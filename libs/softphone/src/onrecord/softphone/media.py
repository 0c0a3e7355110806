"""One call's RTP at a softphone: a steady stream out, every packet in and out remembered."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from onrecord.rtp import dtmf
from onrecord.rtp.errors import RtpError
from onrecord.rtp.packet import Packet, build, parse
from onrecord.softphone.audio import FRAME_SAMPLES, FRAME_SECONDS, silence

MAX_REMEMBERED: Final = 500_000
"""Packets kept in memory per direction, enough for 2.5 hours; later ones are counted only."""

_EVENT_STEPS: Final = 5
_EVENT_ENDS: Final = 3
_EVENT_VOLUME: Final = 10
_SEQUENCES, _TIMESTAMPS = 1 << 16, 1 << 32


class MediaFrame(NamedTuple):
    """One RTP packet that was sent or received: `time_ns` UTC, numbers as on the wire."""

    time_ns: int
    ssrc: int
    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes
    speech: bool = False


class _Item(NamedTuple):
    """What one tick sends; `event_start` says how many ticks ago its telephone event began."""

    payload: bytes
    is_event: bool = False
    event_start: int = 0
    marker: bool = False


class MediaSession(asyncio.DatagramProtocol):
    """Sends a frame every 20 ms once it is started, speech where there is some, else silence.

    `sent` and `received` are in the order of the wire and grow until the session is closed.
    `address` is where it listens, `remote` where the far side's SDP told it to send.
    """

    def __init__(self, codec: str, seed: random.Random) -> None:
        """`codec` is PCMU or PCMA until `agree`; the RTP numbers begin as `seed` says."""
        self.codec = codec
        self.sent: list[MediaFrame] = []
        self.received: list[MediaFrame] = []
        self.not_remembered = 0
        self.first_received = asyncio.Event()
        self._payload_type = 0
        self._event_type: int | None = None
        self.address: tuple[str, int] | None = None
        self.remote: tuple[str, int] | None = None
        self._ssrc = seed.getrandbits(32)
        self._sequence = seed.getrandbits(16)
        self._timestamp = seed.getrandbits(32)
        self._queue: deque[_Item] = deque()
        self._silent = asyncio.Event()
        self._silent.set()
        self._transport: asyncio.DatagramTransport | None = None
        self._sender: asyncio.Task[None] | None = None

    async def open(self, host: str) -> int:
        """Listen on a free even port of this host and return it (RFC 3550 §11)."""
        loop = asyncio.get_running_loop()
        while True:
            transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, 0))
            port: int = transport.get_extra_info("sockname")[1]
            if port % 2 == 0:
                self._transport, self.address = transport, (host, port)
                return port
            transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Remember a packet; anything that is not RTP is ignored."""
        try:
            packet = parse(data)
        except RtpError:
            return
        self._remember(self.received, _seen(packet))
        self.first_received.set()

    def agree(
        self, codec: str, payload_type: int, event_type: int | None, remote: tuple[str, int]
    ) -> None:
        """Use what was negotiated from now on; called again when it changes."""
        self.codec, self._payload_type, self._event_type = codec, payload_type, event_type
        self.remote = remote

    def start(self) -> None:
        """Begin to send; a second start changes nothing."""
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_steadily(), name="softphone media")

    def say(self, payloads: Iterable[bytes]) -> None:
        """Send these payloads next, after what is waiting already."""
        self._queue.extend(_Item(payload) for payload in payloads)
        self._silent.clear()

    def press(self, digit: str) -> None:
        """Send a key as a telephone event of 100 ms (RFC 4733 §2.5.1). ValueError without one."""
        if self._event_type is None:
            raise ValueError("telephone-event was not agreed on this call")
        event = dtmf.DIGITS.index(digit)
        for step in range(_EVENT_STEPS + _EVENT_ENDS):
            end = step >= _EVENT_STEPS
            duration = min(step + 1, _EVENT_STEPS) * FRAME_SAMPLES
            payload = dtmf.build(dtmf.TelephoneEvent(event, end, _EVENT_VOLUME, duration))
            self._queue.append(_Item(payload, is_event=True, event_start=step, marker=step == 0))
        self._silent.clear()

    async def said(self) -> None:
        """Wait until everything that was to be said has been sent."""
        await self._silent.wait()

    async def close(self) -> None:
        """Stop sending and give the port back."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        if self._transport is not None:
            self._transport.close()

    async def _send_steadily(self) -> None:
        loop = asyncio.get_running_loop()
        # Each frame has its own due time, so that a late one does not shift those after it.
        start, ticks = loop.time(), 0
        while True:
            self._send_next()
            ticks += 1
            await asyncio.sleep(max(0.0, start + ticks * FRAME_SECONDS - loop.time()))

    def _send_next(self) -> None:
        item = self._queue.popleft() if self._queue else None
        payload = item.payload if item else silence(self.codec)
        timestamp, payload_type = self._timestamp, self._payload_type
        if item and item.is_event:
            timestamp = (timestamp - item.event_start * FRAME_SAMPLES) % _TIMESTAMPS
            payload_type = self._event_type or 0
        packet = Packet(
            payload_type,
            self._sequence,
            timestamp,
            self._ssrc,
            payload,
            marker=not self.sent or bool(item and item.marker),
        )
        self._sequence = (self._sequence + 1) % _SEQUENCES
        self._timestamp = (self._timestamp + FRAME_SAMPLES) % _TIMESTAMPS
        if self._transport is not None and self.remote is not None:
            self._transport.sendto(build(packet), self.remote)
            self._remember(self.sent, _seen(packet)._replace(speech=item is not None))
        if not self._queue:
            self._silent.set()

    def _remember(self, frames: list[MediaFrame], frame: MediaFrame) -> None:
        if len(frames) < MAX_REMEMBERED:
            frames.append(frame)
        else:
            self.not_remembered += 1


def _seen(packet: Packet) -> MediaFrame:
    return MediaFrame(
        time.time_ns(),
        packet.ssrc,
        packet.sequence,
        packet.timestamp,
        packet.payload_type,
        packet.payload,
    )
