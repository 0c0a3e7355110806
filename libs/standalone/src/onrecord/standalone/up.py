"""`onrecord up`: a stack that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

from onrecord.standalone.present import Printer
from onrecord.standalone.stack import Stack, StackOptions

SUMMARY = """\
onrecord is up.

  SIP           {sip_udp} (UDP, TCP), {sip_tls} (TLS)
  routes        {routes}
  data          {data}
  logs          {data}/logs
  addresses     {data}/endpoints.json

Place a call: send an INVITE to sip:1000@{sip_udp} from an address in [peers] of the routes file,
with the agent listening where its route says. Then, in another terminal:

  onrecord calls{option}
  onrecord show CALL{option}
  onrecord play CALL -o call.wav{option}

Ctrl-C stops it in order; a second Ctrl-C stops it at once."""


async def run_up(options: StackOptions, printer: Printer) -> None:
    """Run until SIGINT or SIGTERM; returns after everything has stopped.

    A signal during the start ends it and raises CancelledError; a second one kills what is left.
    """
    stack = Stack(options, printer.progress)
    stop = _Stop(stack)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.asked)
    printer.progress(f"starting on {stack.folder.root}")
    async with stack:
        stop.is_started = True
        _tell(stack, options, printer)
        await stop.event.wait()
        printer.progress("stopping: calls first, then the audio, then the facts")
    printer.progress("stopped")


class _Stop:
    """What a signal means: first an orderly stop, then a fast one."""

    def __init__(self, stack: Stack) -> None:
        self.event = asyncio.Event()
        self.is_started = False
        self._stack = stack
        self._main = asyncio.current_task()

    def asked(self) -> None:
        """Take a signal."""
        if self.event.is_set():
            self._stack.hurry()
        elif not self.is_started and self._main is not None:
            self._main.cancel()
        self.event.set()


def _tell(stack: Stack, options: StackOptions, printer: Printer) -> None:
    endpoints = stack.endpoints
    printer.document({"ready": True, "data": str(stack.folder.root), **endpoints.document()})
    printer.line(
        SUMMARY.format(
            sip_udp=endpoints["sip_udp"],
            sip_tls=endpoints["sip_tls"],
            routes=options.routes or stack.folder.routes,
            data=stack.folder.root,
            option=f" --data {options.data}" if str(options.data) != ".onrecord" else "",
        )
    )
