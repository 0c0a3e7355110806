"""`onrecord demo`: one real call from end to end, then every promise about it is checked."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TypeVar

from onrecord.contracts.entry import Entry
from onrecord.softphone import CallEndedEarly, PhoneCall, Softphone
from onrecord.softphone.audio import payloads_of_wav, silence
from onrecord.standalone import present
from onrecord.standalone.checks import ANY_CALL, RECORDED_CALL, Finding, run_checks
from onrecord.standalone.checks.observed import Observed, PhoneTape, Release
from onrecord.standalone.checks.reader import Places, log_head, observe
from onrecord.standalone.doors import Listener, RetrievalDoor, retrieval
from onrecord.standalone.errors import Refused, StandaloneError
from onrecord.standalone.follow import CallFollower, following
from onrecord.standalone.present import Printer
from onrecord.standalone.routes import routes_text
from onrecord.standalone.stack import Stack, StackOptions

DIALLED = "02079460999"
CALLER = "02079460123"
LISTENER = Listener(person="demo-listener", purpose="quality")
CODEC = "PCMU"

ANSWER_SECONDS = 10.0
GATE_SECONDS = 30.0
SPEECH_SECONDS = 30.0
VERDICT_SECONDS = 60.0
INDEX_SECONDS = 30.0
SEARCHED = 50
T = TypeVar("T")
_PAUSE_FRAMES = 15
_OPENED_OR_NOT = frozenset({"recording.started", "permit.refused", "notice.failed"})


@dataclass(frozen=True)
class Outcome:
    """What the demo shows at its end."""

    call: str
    verdict: str
    wav: Path
    findings: list[Finding]

    @property
    def holds(self) -> bool:
        """Whether the call was recorded and every check holds."""
        return self.verdict == "recorded" and all(finding.holds for finding in self.findings)


async def run(data: Path | None, *, keep: bool, printer: Printer) -> bool:
    """Run the demo on a data folder, or on a temporary one that is removed unless `keep`.

    True when the call was recorded and every check holds. Raises `StandaloneError` when the stack
    does not come up or the call does not come about.
    """
    folder = data or Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="onrecord-demo-"))
    is_temporary = data is None and not keep
    try:
        # The recording outlives a temporary folder, so that it can be listened to.
        outcome = await _run(folder, folder.parent if is_temporary else folder, printer)
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


async def _run(folder: Path, wavs: Path, printer: Printer) -> Outcome:
    async with Softphone(user="agent", codecs=(CODEC,)) as agent:
        options = StackOptions(folder, await asyncio.to_thread(_write_routes, folder, agent))
        began = time.monotonic()
        printer.progress("starting five services, the media mover and the embedded servers")
        async with Stack(options, printer.progress) as stack:
            printer.progress(f"up after {time.monotonic() - began:.1f} s; placing a call")
            return await _demonstrate(stack, agent, wavs, printer)


def _write_routes(folder: Path, agent: Softphone) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "demo-routes.toml"
    path.write_text(routes_text("{}:{}".format(*agent.address)), encoding="utf-8")
    return path


async def _demonstrate(stack: Stack, agent: Softphone, wavs: Path, printer: Printer) -> Outcome:
    host, _, port = stack.endpoints["sip_udp"].rpartition(":")
    timeline = _Timeline(printer)
    async with (
        following(stack.endpoints["kafka"], timeline.tell) as follower,
        Softphone(user="caller", codecs=(CODEC,)) as caller,
        retrieval(stack.folder.root) as door,
    ):
        head = await log_head(stack.mongo_uri)
        timeline.begin()
        outgoing = await caller.call(DIALLED, (host, int(port)), caller=CALLER)
        incoming = await _awaited(agent.next_call(ANSWER_SECONDS), "the agent was not called")
        call = await _talk(follower, head, outgoing, incoming)
        verdict = await _awaited(
            follower.event(call, frozenset({"call.verdict"}), VERDICT_SECONDS), "no verdict came"
        )
        release = await _listen(door, call)
        seen = await _observe(stack, call, {"caller": outgoing, "agent": incoming}, release)
    wav = wavs / f"{call}.wav"
    if release is not None:
        await asyncio.to_thread(wav.write_bytes, release.wav)
    findings = [*run_checks(seen, ANY_CALL | RECORDED_CALL), _nothing_died(stack)]
    outcome = Outcome(call, verdict.fields["verdict"], wav, findings)
    _tell(outcome, seen, printer)
    return outcome


async def _talk(follower: CallFollower, head: int, outgoing: PhoneCall, incoming: PhoneCall) -> str:
    """Both speak at once during the notices, then one after the other; the caller hangs up.

    The call is the first one in the log after `head`.
    """
    incoming.ring()
    incoming.answer()
    incoming.say(_speech("agent-early"))
    await _awaited(outgoing.wait_answered(ANSWER_SECONDS), "the call was not answered")
    outgoing.say(_speech("caller-early"))
    call = await _awaited(
        follower.call_started_after(head, GATE_SECONDS), "call.started was not published"
    )
    await _awaited(follower.event(call, _OPENED_OR_NOT, GATE_SECONDS), "recording did not start")
    outgoing.say(_speech("caller"))
    await outgoing.wait_said(SPEECH_SECONDS)
    incoming.say(_speech("agent"))
    await incoming.wait_said(SPEECH_SECONDS)
    outgoing.say([silence(CODEC)] * _PAUSE_FRAMES)
    await outgoing.wait_said(SPEECH_SECONDS)
    outgoing.hang_up()
    await _awaited(incoming.wait_over(ANSWER_SECONDS), "the agent was not told of the end")
    return call


async def _listen(door: RetrievalDoor, call: str) -> Release | None:
    """Play the call as a supervisor would; None when it has no audio."""
    await _awaited(_indexed(door, call), "retrieval does not list the call")
    pieces, first_octet_ns = [], 0
    try:
        async for piece in door.audio(call, LISTENER):
            first_octet_ns = first_octet_ns or time.time_ns()
            pieces.append(piece)
    except Refused:
        return None
    return Release(b"".join(pieces), first_octet_ns, LISTENER.person, LISTENER.purpose)


async def _indexed(door: RetrievalDoor, call: str) -> None:
    """Wait until retrieval has folded the verdict: it follows Kafka."""
    async with asyncio.timeout(INDEX_SECONDS):
        while True:
            calls = await door.search("", SEARCHED)
            if any(found.verdict for found in calls if found.call_id == call):
                return
            await asyncio.sleep(0.1)


async def _observe(
    stack: Stack, call: str, calls: dict[str, PhoneCall], release: Release | None
) -> Observed:
    places = Places(
        stack.mongo_uri, stack.endpoints["kafka"], stack.endpoints.objects, stack.folder.spool
    )
    tapes = {party: tape(phone_call) for party, phone_call in calls.items()}
    return await observe(places, call, tapes, release, (DIALLED, CALLER))


def tape(call: PhoneCall) -> PhoneTape:
    """What a phone's call looked like, once it is over."""
    return PhoneTape(
        tuple(call.media.sent), tuple(call.media.received), call.ended_ns or time.time_ns()
    )


def _speech(name: str) -> list[bytes]:
    data = resources.files("onrecord.standalone").joinpath("speech", f"{name}.wav").read_bytes()
    return payloads_of_wav(data, CODEC)


def _nothing_died(stack: Stack) -> Finding:
    """A restart hides a fault well: the demo counts it as one."""
    died = stack.restarts
    text = f"restarted: {died}" if died else f"{len(stack.endpoints.pids)} processes ran throughout"
    return Finding("nothing_died", not died, text)


async def _awaited(work: Awaitable[T], what_failed: str) -> T:
    """Turn a passed deadline into an error that says what did not happen."""
    try:
        return await work
    except (TimeoutError, CallEndedEarly) as error:
        raise StandaloneError(f"{what_failed} ({error or 'in time'})") from error


class _Timeline:
    """Prints each entry as it is published, with the time since the call was placed."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._began = time.monotonic()

    def begin(self) -> None:
        """The call is placed now."""
        self._began = time.monotonic()

    def tell(self, entry: Entry) -> None:
        """Print one entry."""
        what = present.in_short(entry.fields, entry.commitments)
        since = time.monotonic() - self._began
        self._printer.line(f"{since:6.2f} s  {entry.index:>4}  {entry.type:<18}  {what}")


def _tell(outcome: Outcome, seen: Observed, printer: Printer) -> None:
    places = [f"{p.topic}/{p.partition}/{p.offset}" for p in seen.published]
    printer.line("")
    printer.line(f"call      {outcome.call}")
    printer.line(f"verdict   {outcome.verdict}", present.verdict_styles()[outcome.verdict])
    printer.line(f"audio     {outcome.wav}")
    printer.line(f"ledger    entries {', '.join(str(e.index) for e in seen.entries)}")
    printer.line(f"kafka     {places[0]} … {places[-1]}" if places else "kafka     nothing")
    printer.line("")
    for finding in outcome.findings:
        mark, style = ("holds", "green") if finding.holds else ("BROKEN", "red")
        printer.line(f"{mark:<7} {finding.name:<26} {finding.text}", style)
