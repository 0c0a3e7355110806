"""What can be seen of one recorded call from outside: its trace, its logs, its metrics, its health.

One table says which service causes work in which: the trace must show exactly that.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conversation import speech
from onrecord.softphone import answering
from onrecord.standalone.addresses import SERVICES
from onrecord.standalone.checks.observed import Observed
from onrecord.standalone.doors import Listener, entries_of
from onrecord.standalone.trace import Span, read_spans
from processes import until
from stack import ONRECORD, WAIT_SECONDS, Laboratory, RunningStack, laboratory, running_stack

CALLER, CALLEE = "02079465123", "02079468877"
CALLER_NAME, LISTENER = "Quillfeather", "Ostrander"
CANARIES = (CALLER, CALLEE, CALLER_NAME, LISTENER)
"""Texts that occur nowhere else: the two numbers, the caller's name, who listens."""

CALLS = {
    ("signalling", "media-recorder", "Media/Open"),
    ("signalling", "media-recorder", "Media/Watch"),
    ("signalling", "media-recorder", "Media/Update"),
    ("signalling", "media-recorder", "Media/Record"),
    ("signalling", "media-recorder", "Media/Close"),
    ("signalling", "announcement", "Announcement/Announce"),
    ("signalling", "consent-ledger", "Ledger/Append"),
    ("signalling", "consent-ledger", "Ledger/RequestPermit"),
    ("announcement", "media-recorder", "Media/Play"),
    ("announcement", "consent-ledger", "Ledger/Append"),
    ("media-recorder", "consent-ledger", "Ledger/Append"),
}
"""Who asks whom for what: parent, child, method."""

REACTIONS = {
    ("signalling", "retrieval", "call.started"),
    ("signalling", "retrieval", "policy.decided"),
    ("signalling", "retrieval", "call.answered"),
    ("announcement", "retrieval", "notice.given"),
    ("consent-ledger", "retrieval", "permit.issued"),
    ("media-recorder", "retrieval", "recording.started"),
    ("signalling", "retrieval", "call.ended"),
    ("signalling", "media-recorder", "call.ended"),
    ("media-recorder", "retrieval", "recording.stopped"),
    ("media-recorder", "retrieval", "recording.stored"),
    ("consent-ledger", "retrieval", "call.verdict"),
    ("consent-ledger", "announcement", "call.verdict"),
    ("signalling", "consent-ledger", "call.judge"),
}
"""Who reacts to whose fact: the service that caused it, the one that handles it, the event.

The ledger judges by its own log, below the call itself.
"""

Edges = set[tuple[str, str, str]]


@dataclass(frozen=True)
class TracedCall:
    """One recorded call on a stack of its own.

    `spans` are those that name the call, from before anybody listened; `spooled` is what the spool
    held in mid-call, `seen` what the stores and Kafka have in the end.
    """

    stack: RunningStack
    id: str
    spans: tuple[Span, ...]
    spooled: bytes
    seen: Observed


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TracedCall]:
    """A call that was recorded, stored, judged and listened to."""
    with running_stack(tmp_path_factory.mktemp("telemetry")) as stack:
        yield asyncio.run(place_call(stack))


async def place_call(stack: RunningStack) -> TracedCall:
    """Record a call whose numbers and names are the canaries, then listen to it."""
    async with laboratory(stack, answering()) as lab:
        head = await lab.head()
        outgoing = await lab.caller.call(CALLEE, stack.sip, caller=CALLER, name=CALLER_NAME)
        await outgoing.wait_answered(WAIT_SECONDS)
        call = await lab.id_of_call_after(head)
        await lab.event(call, "recording.started")
        outgoing.say(speech(1, 1.0))
        await outgoing.wait_said(WAIT_SECONDS)
        spooled = b"".join(map(octets, files_below(stack.data / "spool")))
        outgoing.hang_up()
        await lab.event(call, "call.verdict")
        with contextlib.suppress(TimeoutError):  # a test says what is missing
            await until(lambda: edges(spans_of(stack, call)) >= CALLS | REACTIONS, WAIT_SECONDS)
        spans = spans_of(stack, call)
        await listen(lab, call)
        seen = await lab.observe(call, {})
    return TracedCall(stack, call, tuple(spans), spooled, seen)


async def listen(lab: Laboratory, call: str) -> None:
    """Play the call, and wait until that has left its span."""
    assert [piece async for piece in lab.door.audio(call, Listener(LISTENER, "quality"))]
    await until(
        lambda: any("StreamAudio" in span.name for span in spans_of(lab.stack, call)), WAIT_SECONDS
    )


def spans_of(stack: RunningStack, call: str) -> list[Span]:
    """All spans that name the call."""
    found = read_spans(stack.data / "spans")
    return [span for span in found if span.attributes.get("onrecord.call_id") == call]


def edges(spans: list[Span] | tuple[Span, ...]) -> Edges:
    """Which service caused work in which other, by what."""
    by_id = {span.span_id: span for span in spans}
    found = set()
    for span in spans:
        parent = by_id.get(span.parent_id)
        if parent is not None and parent.service != span.service:
            name = span.name.rpartition(".")[2] if span.name.startswith("/") else span.name
            what = span.attributes.get("onrecord.event_type", name)
            found.add((parent.service, span.service, what))
    return found


def test_one_call_is_one_trace(call: TracedCall) -> None:
    """Every span that names the call and every entry of it belong to the trace of its INVITE."""
    (trace_id,) = {span.trace_id for span in call.spans}
    assert {span.service for span in call.spans} == set(SERVICES)
    entries = asyncio.run(entries_of(call.stack.data, call.id))
    about_call = [entry for entry in entries if entry.stream == f"call/{call.id}"]
    assert {entry.traceparent[3:35] for entry in about_call} == {trace_id}
    # Nothing of the trace is there without the call's name.
    everything = read_spans(call.stack.data / "spans")
    assert {s.span_id for s in everything if s.trace_id == trace_id} == {
        span.span_id for span in call.spans
    }


def test_each_service_causes_what_the_table_says(call: TracedCall) -> None:
    """All edges between services, and no other."""
    assert edges(call.spans) == CALLS | REACTIONS


def test_the_tree_has_one_root_and_no_span_twice(call: TracedCall) -> None:
    """The root is signalling's and ends with the set-up, long before the call.

    A request has one server, a record one span for each service that handles it.
    """
    known = {span.span_id for span in call.spans}
    (root,) = (span for span in call.spans if span.parent_id not in known)
    assert (root.service, root.name, root.parent_id) == ("signalling", "call", "")
    assert root.attributes["onrecord.gate"] == "opened"
    assert root.ended < call.seen.only("call.ended").time
    served = Counter(span.parent_id for span in call.spans if span.kind == "server")
    assert served == Counter(span.span_id for span in call.spans if span.kind == "client")
    offset = "messaging.kafka.message.offset"
    handled = Counter(
        (span.service, span.name, span.attributes[offset])
        for span in call.spans
        if span.kind == "consumer"
    )
    assert set(handled.values()) == {1}


def test_listening_is_a_trace_of_its_own(call: TracedCall) -> None:
    """It happens whenever somebody wants to: it names the call, and its entry names its trace."""
    later = {s.trace_id for s in spans_of(call.stack, call.id)} - {s.trace_id for s in call.spans}
    entries = asyncio.run(entries_of(call.stack.data, call.id))
    (access,) = (entry for entry in entries if entry.type == "access.granted")
    assert later == {access.traceparent[3:35]}


def test_the_command_shows_the_tree(call: TracedCall) -> None:
    """`onrecord trace` gives every span of the call once, and every fact below what caused it."""
    done = subprocess.run(
        [ONRECORD, "trace", call.id, "--json", "--data", str(call.stack.data)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )
    own, listening = json.loads(done.stdout)["traces"]
    nodes = [node for root in own["roots"] for node in walk(root)]
    assert [root["name"] for root in own["roots"]] == ["call"]
    assert sum(node["kind"] != "fact" for node in nodes) == len(call.spans)
    facts = [node["name"] for node in nodes if node["kind"] == "fact"]
    assert len(facts) == len(call.seen.entries) - 1
    assert [root["name"] for root in listening["roots"]] == ["Retrieval/StreamAudio"]


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The node and all below it."""
    yield node
    for child in node["children"]:
        yield from walk(child)


def test_every_log_line_of_the_call_names_call_and_trace(call: TracedCall) -> None:
    """JSON lines with a static event; where the call is named, the trace is its own."""
    traces = {span.trace_id for span in spans_of(call.stack, call.id)}
    named = Counter()
    for service in SERVICES:
        for line in log_lines(call.stack.data, service):
            assert line["service"] == service
            assert line["event"]
            if call.id in json.dumps(line):
                assert line["call"] == call.id
                assert line["trace_id"] in traces
                named[service] += 1
    assert named.keys() >= {"signalling", "consent-ledger", "retrieval"}


def log_lines(data: Path, service: str) -> list[dict[str, Any]]:
    """The service's log, each line read."""
    text = (data / "logs" / f"{service}.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_nobody_is_named_in_what_is_written(call: TracedCall) -> None:
    """No number and no name in any file, file's name, span, log, object or spool file of the stack.

    In logs they may stand under keys that begin with `pii.`.
    """
    assert call.spooled
    found = {"the spool in mid-call": canaries_in(call.spooled)}
    for path in files_below(call.stack.data):
        content = octets(path)
        if path.parent.name == "logs" and path.stem in SERVICES:
            content = without_personal(log_lines(call.stack.data, path.stem))
        name = str(path.relative_to(call.stack.data))
        found[name] = canaries_in(content) + canaries_in(name.encode())
    assert {"endpoints.json", "spans/signalling.jsonl", "logs/retrieval.log"} <= found.keys()
    assert any(name.startswith("objects/") and name.endswith("manifest") for name in found)
    assert {name: canaries for name, canaries in found.items() if canaries} == {}


def test_nobody_is_named_on_the_bus(call: TracedCall) -> None:
    """Headers, keys and values; sealed fields travel there as ciphertext, so they are there."""
    sealed = {name for logged in call.seen.entries for name in logged.sealed}
    assert sealed >= {"caller_number", "callee_number", "caller_name", "person"}
    for record in call.seen.published:
        headers = b" ".join(name.encode() + value for name, value in record.headers.items())
        for content in (headers, record.key, record.value):
            assert not canaries_in(content)
        assert record.headers["traceparent"]


def test_nobody_and_no_call_is_named_in_metrics(call: TracedCall) -> None:
    """Each service's page is there, and has no label that grows with the calls."""
    for service in SERVICES:
        status, page = get(call.stack, service, "/metrics")
        assert status == http.HTTPStatus.OK
        assert b"target_info" in page
        assert not canaries_in(page)
        assert call.id.encode() not in page


def canaries_in(content: bytes) -> list[str]:
    """Which of the canaries occur."""
    return [canary for canary in CANARIES if canary.encode() in content]


def without_personal(lines: list[dict[str, Any]]) -> bytes:
    """The log without what may name people."""
    kept = [{k: v for k, v in line.items() if not k.startswith("pii.")} for line in lines]
    return json.dumps(kept).encode()


def files_below(folder: Path) -> list[Path]:
    """All files, whatever they hold."""
    return [path for path in folder.rglob("*") if path.is_file()]


def octets(path: Path) -> bytes:
    """What a file holds; nothing if it is gone by now."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def get(stack: RunningStack, service: str, page: str) -> tuple[int, bytes]:
    """Ask a service's side door."""
    connection = http.client.HTTPConnection(stack.endpoints[f"http.{service}"], timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", page)
        answer = connection.getresponse()
        return answer.status, answer.read()


def not_ready(stack: RunningStack) -> dict[str, list[str]]:
    """The services that say that they are not ready, with the reasons."""
    answers = {service: get(stack, service, "/readyz") for service in SERVICES}
    return {
        service: json.loads(body)["reasons"]
        for service, (status, body) in answers.items()
        if status != http.HTTPStatus.OK
    }


async def test_readiness_names_what_is_missing_and_recovers(call: TracedCall) -> None:
    """With MongoDB stopped, those that need it say so; all stay alive, and come back by themselves.

    The others can do their work: they are ready.
    """
    stack, mongo = call.stack, call.stack.pids()["mongo"]
    assert not_ready(stack) == {}
    os.kill(mongo, signal.SIGSTOP)
    try:
        needy = {"consent-ledger", "retrieval"}
        await until(lambda: not_ready(stack).keys() == needy, WAIT_SECONDS)
        assert all("mongo" in reasons[0] for reasons in not_ready(stack).values())
        alive = [get(stack, service, "/livez")[0] for service in SERVICES]
        assert set(alive) == {http.HTTPStatus.OK}
    finally:
        os.kill(mongo, signal.SIGCONT)
    await until(lambda: not_ready(stack) == {}, WAIT_SECONDS)
