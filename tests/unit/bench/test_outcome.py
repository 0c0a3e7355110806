"""What bench-call counts as lost, and when it fails."""

from __future__ import annotations

import json

import pytest
from bench.cpu import CpuTimes
from bench.frames import Counted, heard, lateness_ms
from bench.judging import Judged
from bench.outcome import Options, Outcome, Run
from bench.phones import Pair
from onrecord.softphone.media import MediaFrame
from onrecord.standalone.checks.observed import PhoneTape

STEP_NS = 20_000_000
FRAMES = 100
END_NS = FRAMES * STEP_NS + 1_000_000_000
NOBODY = PhoneTape((), (), END_NS)
NO_TIME = CpuTimes({}, 0.0)


def frame(number: int, *, late_ns: int = 0) -> MediaFrame:
    """A frame of speech that no other equals."""
    payload = number.to_bytes(2, "big") * 80
    return MediaFrame(number * STEP_NS + late_ns, 1, number, number * 160, 0, payload, speech=True)


def phones(*missing: int, first: int = 0, late_ns: int = 0) -> tuple[PhoneTape, PhoneTape]:
    """A phone that spoke, and one that heard it from `first` on without what is missing."""
    spoken = tuple(frame(number) for number in range(FRAMES))
    arrived = (frame(n, late_ns=late_ns) for n in range(first, FRAMES) if n not in missing)
    return PhoneTape(spoken, (), END_NS), PhoneTape((), tuple(arrived), END_NS)


def outcome(*, lost: int = 0, late_ns: int = 0, failure: str = "") -> Outcome:
    """One direct call and one through onrecord."""
    spoken = tuple(frame(n, late_ns=late_ns if n > 50 else 0) for n in range(FRAMES))
    both = PhoneTape(spoken, spoken, END_NS)
    run = Run([Pair("0207", failure, 2_000_000, both, both)], NO_TIME, NO_TIME)
    judged = Judged((), (Counted(FRAMES, lost),) * 2, Counted(FRAMES, 0), 5000.0)
    return Outcome(Options(1, 1.0, 1.0, 40.0, 1), run, run, [judged], [])


def test_a_frame_in_the_middle_that_was_not_heard_is_lost() -> None:
    """A hole counts, and what arrived has its delay."""
    counted = heard(*phones(50, 51, late_ns=3_000_000), since_ns=0)
    assert (counted.due, counted.lost) == (FRAMES, 2)
    assert set(counted.delays_ms) == {3.0}


def test_what_was_said_before_the_bridge_is_not_due() -> None:
    """The first frame that was heard begins the count, if that was early enough."""
    assert heard(*phones(first=40), since_ns=60 * STEP_NS).due == FRAMES - 40


def test_a_bridge_that_comes_late_loses_frames() -> None:
    """From the begin of the recording on everything is due, heard or not."""
    counted = heard(*phones(first=40), since_ns=30 * STEP_NS)
    assert (counted.due, counted.lost) == (FRAMES - 30, 10)


def test_a_phone_that_heard_nothing_lost_everything() -> None:
    """Silence is not success."""
    speaker, _ = phones()
    assert heard(speaker, NOBODY, since_ns=0).lost == FRAMES


def test_lateness_is_against_the_streams_own_clock() -> None:
    """A delay that is made up for again is seen."""
    tape = PhoneTape((frame(0), frame(1, late_ns=5_000_000), frame(2)), (), END_NS)
    assert lateness_ms(tape) == [0.0, 5.0, 0.0]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (outcome(lost=1), "2 of 200 frames were not heard"),
        (outcome(late_ns=50_000_000), "void: the phones themselves were 50.0 ms late"),
        (outcome(failure="rejected 503"), "2 of the calls: rejected 503"),
    ],
)
def test_a_target_that_does_not_hold_fails(
    made: Outcome, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1, and the line says what does not hold."""
    assert made.report().publish() == 1
    line = json.loads(capsys.readouterr().out)
    assert line["verdict"] == "fail"
    assert any(found.startswith(sentence) for found in line["broken"])


def test_a_target_that_holds_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing lost, nobody late: exit code 0 and an empty list."""
    assert outcome().report().publish() == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["verdict"], line["broken"], line["ratio"]) == ("pass", [], 1.0)
