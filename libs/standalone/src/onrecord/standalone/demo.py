"""`onrecord demo`: a recorded call from end to end and one that must not be, both checked."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from onrecord.softphone import PhoneCall, Softphone
from onrecord.standalone import dialogue, present
from onrecord.standalone.checks import (
    ANY_CALL,
    RECORDED_CALL,
    UNRECORDED_CALL,
    Finding,
    run_checks,
)
from onrecord.standalone.checks.observed import Observed, PhoneTape, Release
from onrecord.standalone.checks.reader import Places, log_head, observe
from onrecord.standalone.dialogue import awaited
from onrecord.standalone.doors import Listener, RetrievalDoor, retrieval
from onrecord.standalone.errors import Refused
from onrecord.standalone.folder import DataFolder
from onrecord.standalone.follow import CallFollower, following
from onrecord.standalone.output import private_file
from onrecord.standalone.present import Printer, Timeline
from onrecord.standalone.routes import routes_text
from onrecord.standalone.stack import Stack, StackOptions

DIALLED = "02079460999"
UNRECORDED_DIALLED = f"9{DIALLED}"
CALLER = "02079460123"
PRIVATE = (DIALLED, CALLER)
LISTENER = Listener(person="demo-listener", purpose="quality")
VERDICT_SECONDS = 60.0
WAV = Path("onrecord-demo.wav")
"""Where the recording of a demo without a folder of its own is put, each time anew."""


@dataclass(frozen=True)
class Outcome:
    """What the demo shows at its end: the recorded call, and what was found of both."""

    call: str
    verdict: str
    wav: Path
    findings: list[Finding]

    @property
    def holds(self) -> bool:
        """Whether the first call was recorded and every check of both holds."""
        return self.verdict == "recorded" and all(finding.holds for finding in self.findings)


async def run(data: Path | None, *, keep: bool, printer: Printer) -> bool:
    """Run the demo on a data folder, or on a temporary one that is removed unless `keep`.

    True when the first call was recorded and every check of both holds. Raises `StandaloneError`
    when the stack does not come up or a call does not come about.
    """
    folder = data or Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="onrecord-demo-"))
    is_temporary = data is None and not keep
    try:
        # The recording outlives a temporary folder, so that it can be listened to.
        outcome = await _run(folder, WAV if is_temporary else folder / WAV.name, printer)
    finally:
        if is_temporary:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    printer.document(
        {
            "call": outcome.call,
            "verdict": outcome.verdict,
            "checks": {finding.name: finding.holds for finding in outcome.findings},
            "wav": str(outcome.wav),
        }
    )
    return outcome.holds


async def _run(folder: Path, wav: Path, printer: Printer) -> Outcome:
    async with Softphone(user="agent", codecs=(dialogue.CODEC,)) as agent:
        options = StackOptions(folder, await asyncio.to_thread(_write_routes, folder, agent))
        began = time.monotonic()
        printer.progress("starting five services, the media mover and the embedded servers")
        async with Stack(options, printer.progress) as stack:
            printer.progress(f"up after {time.monotonic() - began:.1f} s; placing a call")
            return await _demonstrate(stack, agent, wav, printer)


def _write_routes(folder: Path, agent: Softphone) -> Path:
    path = DataFolder.at(folder).root / "demo-routes.toml"
    path.write_text(routes_text("{}:{}".format(*agent.address)), encoding="utf-8")
    return path


async def _demonstrate(stack: Stack, agent: Softphone, wav: Path, printer: Printer) -> Outcome:
    timeline = Timeline(printer)
    async with (
        following(stack.endpoints["kafka"], timeline.tell) as follower,
        Softphone(user="caller", codecs=(dialogue.CODEC,)) as caller,
        retrieval(stack.folder.root) as door,
    ):
        bench = _Bench(stack, caller, agent, follower, timeline)
        recorded, phones = await bench.place(DIALLED, dialogue.recorded)
        release = await _listen(door, recorded)
        seen = await _observe(stack, recorded, phones, PRIVATE, release)
        findings = run_checks(seen, ANY_CALL | RECORDED_CALL)
        if release is not None:
            with private_file(wav) as file:
                file.write(release.wav)
        _tell(seen, findings, wav, printer)

        printer.line("")
        printer.line("The same phones on the unrecorded route:")
        unrecorded, phones = await bench.place(UNRECORDED_DIALLED, dialogue.unrecorded)
        unseen = await _observe(stack, unrecorded, phones, PRIVATE)
        more = run_checks(unseen, ANY_CALL | UNRECORDED_CALL)
        _tell(unseen, more, None, printer)
    findings += [replace(finding, name=f"unrecorded_{finding.name}") for finding in more]
    died = _nothing_died(stack)
    printer.finding(died)
    return Outcome(recorded, verdict_of(seen), wav, [*findings, died])


Script = Callable[[CallFollower, int, dict[str, PhoneCall]], Awaitable[str]]


@dataclass(frozen=True)
class _Bench:
    """A stack and two phones, and who follows what they cause."""

    stack: Stack
    caller: Softphone
    agent: Softphone
    follower: CallFollower
    timeline: Timeline

    async def place(self, number: str, script: Script) -> tuple[str, dict[str, PhoneCall]]:
        """Place a call, let the phones do what the script says, wait for the verdict."""
        host, _, port = self.stack.endpoints["sip_udp"].rpartition(":")
        head = await log_head(self.stack.mongo_uri)
        self.timeline.begin()
        phones = await dialogue.dial(self.caller, self.agent, number, CALLER, (host, int(port)))
        call = await script(self.follower, head, phones)
        verdict = self.follower.event(call, frozenset({"call.verdict"}), VERDICT_SECONDS)
        await awaited(verdict, "no verdict came")
        return call, phones


async def _listen(door: RetrievalDoor, call: str) -> Release | None:
    """Play the call as a supervisor would; None when it has no audio."""
    await awaited(door.with_verdict(call), "retrieval does not list the call")
    pieces, first_octet_ns = [], 0
    try:
        async for piece in door.audio(call, LISTENER):
            first_octet_ns = first_octet_ns or time.time_ns()
            pieces.append(piece)
    except Refused:
        return None
    return Release(b"".join(pieces), first_octet_ns, LISTENER.person, LISTENER.purpose)


async def _observe(
    stack: Stack,
    call: str,
    phones: dict[str, PhoneCall],
    private: tuple[str, ...],
    release: Release | None = None,
) -> Observed:
    places = Places(
        stack.mongo_uri, stack.endpoints["kafka"], stack.endpoints.objects, stack.folder.spool
    )
    tapes = {party: tape(phone) for party, phone in phones.items()}
    return await observe(places, call, tapes, release, private)


def tape(call: PhoneCall) -> PhoneTape:
    """What a phone's call looked like, once it is over."""
    media = call.media
    return PhoneTape(
        tuple(media.sent),
        tuple(media.received),
        call.ended_ns or time.time_ns(),
        media.address,
        media.remote,
    )


def verdict_of(seen: Observed) -> str:
    """The call's verdict as it holds now; empty without one."""
    found = seen.of_type("call.verdict", "call.verdict_amended")
    return str(found[-1].fields["verdict"]) if found else ""


def _nothing_died(stack: Stack) -> Finding:
    """A restart hides a fault well: the demo counts it as one."""
    died = stack.restarts
    text = f"restarted: {died}" if died else f"{len(stack.endpoints.pids)} processes ran throughout"
    return Finding("nothing_died", not died, text)


def _tell(seen: Observed, findings: list[Finding], wav: Path | None, printer: Printer) -> None:
    places = [f"{p.topic}/{p.partition}/{p.offset}" for p in seen.published]
    verdict = verdict_of(seen)
    printer.line("")
    printer.line(f"call      {seen.call}")
    printer.line(f"verdict   {verdict}", present.verdict_styles().get(verdict, ""))
    if wav is not None:
        printer.line(f"audio     {wav}")
    printer.line(f"ledger    entries {', '.join(str(e.index) for e in seen.entries)}")
    printer.line(f"kafka     {places[0]} … {places[-1]}" if places else "kafka     nothing")
    printer.line("")
    for finding in findings:
        printer.finding(finding)
