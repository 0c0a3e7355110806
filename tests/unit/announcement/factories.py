"""What the announcement tests are made of: a short prompt and the report of its faultless play."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onrecord.announcement.domain.grade import PlayReport
from onrecord.announcement.domain.plan import Obligation
from onrecord.announcement.domain.prompt import Prompt

PCMU, PCMA = "11" * 32, "22" * 32


def a_prompt(**changes: Any) -> Prompt:
    """A prompt of three packets for the caller, in British English."""
    prompt = Prompt(
        id="recorded-caller",
        version=1,
        party="caller",
        language="en-GB",
        text="This call is recorded.",
        acts=frozenset({"recorded"}),
        purposes=frozenset({"quality"}),
        wav=b"RIFF",
        sha256="ab" * 32,
        samples=480,
        payload_sha256={"PCMU": PCMU, "PCMA": PCMA},
        source="spoken",
    )
    return replace(prompt, **changes)


def an_obligation(**changes: Any) -> Obligation:
    """The duty that `a_prompt` fulfils exactly."""
    obligation = Obligation(
        party="caller",
        leg="caller",
        method="prompt",
        language="en-GB",
        acts=frozenset({"recorded"}),
        purposes=frozenset({"quality"}),
    )
    return replace(obligation, **changes)


def a_report(**changes: Any) -> PlayReport:
    """The report of `a_prompt` sent whole and in order."""
    report = PlayReport(
        notice_id="c1:notice:caller:0",
        leg="caller",
        complete=True,
        reason="",
        ssrc=7,
        first_sequence=65534,
        last_sequence=65536,
        packets=3,
        octets=480,
        payload_sha256=PCMU,
        received=None,
        started_at="2026-11-23T12:00:00.000000Z",
        ended_at="2026-11-23T12:00:00.060000Z",
    )
    return replace(report, **changes)
