"""One call as a softphone has it: what happened so far, and what to do next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from onrecord.sip.endpoint import Endpoint
from onrecord.sip.events import LegId
from onrecord.softphone.media import MediaSession


class CallEndedEarly(Exception):
    """The call was over before what was waited for; `ending` says how it ended."""

    def __init__(self, ending: str) -> None:
        super().__init__(f"the call ended: {ending}")
        self.ending = ending


class Phone(Protocol):
    """What a call needs of its phone."""

    def command(self, act: Callable[[Endpoint, float], None]) -> None:
        """Do something with the endpoint, then send what it has to say."""

    def answer(self, call: PhoneCall) -> None:
        """Accept the call's offer."""

    def offer(self, call: PhoneCall, direction: str) -> None:
        """Offer another direction inside the call."""

    def forget(self, call: PhoneCall) -> None:
        """Release the media of a call that is over."""


class PhoneCall:
    """A call placed or received by a `Softphone`, which makes these.

    `ending` is empty while the call lives, then one of `hung_up` (by us), `far_side_hung_up`,
    `cancelled`, `rejected <status>` and `timed_out`. Times are UTC in nanoseconds; `began_ns` is
    when the INVITE was made or came in, the others are None until then.
    """

    def __init__(self, phone: Phone, leg: LegId, number: str, media: MediaSession) -> None:
        """`number` is the one that was dialled."""
        self.leg = leg
        self.number = number
        self.media = media
        self.ending = ""
        self.began_ns = time.time_ns()
        self.answered_ns: int | None = None
        self.ended_ns: int | None = None
        self._phone = phone
        self._ringing = asyncio.Event()
        self._answered = asyncio.Event()
        self._over = asyncio.Event()
        self._offered: asyncio.Future[int] | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the call was answered, even if it is over by now."""
        return self._answered.is_set()

    # What to do

    def ring(self) -> None:
        """Tell the caller that it rings."""
        self._phone.command(lambda endpoint, now: endpoint.ring(self.leg, now))

    def answer(self) -> None:
        """Take the call and begin to send audio."""
        self._phone.answer(self)

    def reject(self, status: int = 486) -> None:
        """Refuse the call; 486 is busy."""
        self._phone.command(lambda endpoint, now: endpoint.reject(self.leg, status, now))
        self.end(f"rejected {status}")

    def cancel(self) -> None:
        """Give up before the answer."""
        self._phone.command(lambda endpoint, now: endpoint.cancel(self.leg, now))

    def hang_up(self) -> None:
        """End the call from our side."""
        self._phone.command(lambda endpoint, now: endpoint.bye(self.leg, now))
        self.end("hung_up")

    def hold(self) -> None:
        """Make the far side wait; its answer is for `wait_changed`. Our audio goes on."""
        self._offer("sendonly")

    def retrieve(self) -> None:
        """Take the far side back; its answer is for `wait_changed`."""
        self._offer("sendrecv")

    def say(self, payloads: Iterable[bytes]) -> None:
        """Send these payloads, 20 ms each, after what is waiting already."""
        self.media.say(payloads)

    def press(self, digit: str) -> None:
        """Press a key: 0 to 9, *, #, A to D."""
        self.media.press(digit)

    # What to wait for

    async def wait_ringing(self, timeout: float) -> None:
        """Wait for the far side's ringing. Raises TimeoutError or `CallEndedEarly`."""
        await self._first(self._ringing, timeout)

    async def wait_answered(self, timeout: float) -> None:
        """Wait for the answer. Raises TimeoutError or `CallEndedEarly`."""
        await self._first(self._answered, timeout)

    async def wait_said(self, timeout: float) -> None:
        """Wait until everything was said. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            await self.media.said()

    async def wait_audio(self, timeout: float) -> None:
        """Wait for the first packet from the far side. Raises TimeoutError or `CallEndedEarly`."""
        await self._first(self.media.first_received, timeout)

    async def wait_changed(self, timeout: float) -> int:
        """Wait for the status with which the hold or retrieve was answered. Raises TimeoutError."""
        if self._offered is None:
            raise ValueError("nothing was offered")
        async with asyncio.timeout(timeout):
            return await self._offered

    async def wait_over(self, timeout: float) -> str:
        """Wait for the end and say how it ended. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            await self._over.wait()
        return self.ending

    # What the phone reports

    def rings(self) -> None:
        """The far side rings."""
        self._ringing.set()

    def is_up(self) -> None:
        """The call was answered."""
        self.answered_ns = self.answered_ns or time.time_ns()
        self._answered.set()
        self.media.start()

    def changed(self, status: int) -> None:
        """What was offered inside the call was answered."""
        if self._offered is not None and not self._offered.done():
            self._offered.set_result(status)

    def end(self, ending: str) -> None:
        """The call is over; only the first ending counts."""
        if not self.ending:
            self.ending = ending
            self.ended_ns = time.time_ns()
            self._over.set()
            self._phone.forget(self)

    def _offer(self, direction: str) -> None:
        self._offered = asyncio.get_running_loop().create_future()
        self._phone.offer(self, direction)

    async def _first(self, event: asyncio.Event, timeout: float) -> None:
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self._over.wait())]
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not event.is_set():
            raise CallEndedEarly(self.ending)
