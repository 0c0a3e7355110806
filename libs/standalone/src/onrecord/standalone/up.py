"""`onrecord up`: a stack that runs until it is told to stop."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
from pathlib import Path

from onrecord.standalone.present import Printer
from onrecord.standalone.routes import RoutesWatch
from onrecord.standalone.stack import Stack, StackOptions

SUMMARY = """\
onrecord is up.

  SIP           {sip_udp} (UDP, TCP), {sip_tls} (TLS)
  routes        {routes} (read at the start only)
  data          {data}
  logs          {data}/logs
  addresses     {data}/endpoints.json

In another terminal, place a call with the built-in phones, or send an INVITE to
sip:1000@{sip_udp} from an address in [peers] of the routes file:

  {program} call{option}
  {program} calls{option}
  {program} show last{option}
  {program} play last -o call.wav{option}
  {program} verify{option}

Ctrl-C stops it in order; a second Ctrl-C stops it at once."""


WATCH_SECONDS = 1.0


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
        watch = asyncio.create_task(_watch(RoutesWatch(stack.routes), printer), name="watch routes")
        await stop.event.wait()
        watch.cancel()
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


def program() -> str:
    """How this command was called, so that what it prints can be typed."""
    called = sys.argv[0]
    return Path(called).name if shutil.which(Path(called).name) == called else called


async def _watch(routes: RoutesWatch, printer: Printer) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        if news := await asyncio.to_thread(routes.news):
            printer.progress(news)


def _tell(stack: Stack, options: StackOptions, printer: Printer) -> None:
    endpoints = stack.endpoints
    printer.document({"ready": True, "data": str(stack.folder.root), **endpoints.document()})
    printer.line(
        SUMMARY.format(
            sip_udp=endpoints["sip_udp"],
            sip_tls=endpoints["sip_tls"],
            routes=stack.routes,
            program=program(),
            data=stack.folder.root,
            option=f" --data {options.data}" if str(options.data) != ".onrecord" else "",
        )
    )
