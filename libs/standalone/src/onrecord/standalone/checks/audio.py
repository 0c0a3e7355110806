"""Checks of the audio: what was kept against what the phones sent and heard."""

from __future__ import annotations

import hashlib
import io
import wave
from collections.abc import Sequence

import numpy as np
from onrecord.ledger.canonical import CanonicalEntry
from onrecord.rtp import g711
from onrecord.rtp.storage.unit import Frame
from onrecord.softphone.media import MediaFrame
from onrecord.standalone.checks.frames import (
    CODECS,
    SEQUENCES,
    Number,
    by_number,
    in_span,
    is_before,
    number_of,
)
from onrecord.standalone.checks.observed import PARTIES, Broken, Observed, PhoneTape

BEFORE_NS = 500_000_000
"""Frames sent so long before a phone heard the notice's end were certainly sent before it."""

TAIL_NS = 100_000_000
"""Frames sent so long before the call's end were certainly delivered."""

EDGE_FRAMES = 5
"""Frames at either end of a run that may overlap with another source in the same channel: each
source is placed by when its first frame came, which may have been late."""


def all_told_before_permit(seen: Observed) -> str:
    """Each party was told, by an entry that the permit relies on and that stands before it."""
    permit = _permit(seen)
    told = {
        given.fields["party"]
        for given in seen.of_type("notice.given")
        if given.event_id in permit.fields["relied_on"] and given.index < permit.index
    }
    if not told.issuperset(permit.fields["parties"]) or not told.issuperset(PARTIES):
        raise Broken(f"the permit relies on notices to {sorted(told)} only")
    return f"{' and '.join(sorted(told))} were told before entry {permit.index}"


def permit_before_first_frame(seen: Observed) -> str:
    """The permit stands in the log before recording started, and each unit was kept by it."""
    permit, started = _permit(seen), seen.only("recording.started")
    if permit.index > started.index:
        raise Broken("recording was started before the permit was entered")
    other = {unit.header.permit_id for unit in seen.units} - {permit.fields["permit_id"]}
    if other:
        raise Broken(f"units were kept by {sorted(other)}")
    if {unit.header.leg for unit in seen.units} - _first_kept(seen).keys():
        raise Broken("a leg was kept that the permit does not name")
    return f"entry {permit.index} before entry {started.index}"


def nothing_kept_before(seen: Observed) -> str:
    """No frame of a person is from before the permit's position or from before the notice's end."""
    counted = 0
    for party in PARTIES:
        position = _first_kept(seen).get(party)
        heard_ns = _heard_notice_ns(seen, party)
        sent = by_number(seen.phones[party].sent)
        for frame in seen.frames(party):
            if is_before(frame, position):
                raise Broken(f"frame {frame.sequence} of the {party} is before the permit's")
            original = sent.get(number_of(frame))
            if original and original.time_ns < heard_ns - BEFORE_NS:
                raise Broken(f"frame {frame.sequence} of the {party} was sent before the notice")
            counted += 1
    if not counted:
        raise Broken("nothing at all was kept")
    return f"{counted} frames, all from after the notices"


def audio_equal(seen: Observed) -> str:
    """What was kept is what the phones sent, bit by bit, each frame once, none missing unnamed."""
    end_ns = min(tape.ended_ns for tape in seen.phones.values())
    total = 0
    for party in PARTIES:
        kept = _kept_once(seen, party)
        sent = by_number(seen.phones[party].sent)
        for number, frame in kept.items():
            original = sent.get(number)
            if original is None:
                raise Broken(f"the {party} never sent frame {frame.sequence}")
            if (original.payload, original.payload_type) != (frame.payload, frame.payload_type):
                raise Broken(f"frame {frame.sequence} of the {party} is not as it was sent")
        missing = [
            frame
            for frame in _due(seen, party, kept, end_ns)
            if number_of(frame) not in kept and not _in_gap(seen, party, frame)
        ]
        if missing:
            raise Broken(f"{len(missing)} frames of the {party} are missing without a named gap")
        if not any(sent[number].speech for number in kept):
            raise Broken(f"nothing that the {party} spoke was kept")
        total += len(kept)
    return f"{total} frames equal what was spoken"


def notice_inside(seen: Observed) -> str:
    """Each notice is in the recording as it was sent, and the phone received the same."""
    told = []
    for party, span in seen.spans():
        kept = [frame for frame in seen.frames(span["leg"]) if in_span(frame, span)]
        heard = [frame for frame in seen.phones[party].received if in_span(frame, span)]
        kept.sort(key=lambda frame: frame.sequence)
        for what, frames in (("kept", kept), ("heard", heard)):
            data = b"".join(frame.payload for frame in frames)
            if hashlib.sha256(data).hexdigest() != span["payload_sha256"]:
                raise Broken(f"the notice to the {party} was not {what} as it was sent")
        told.append(f"{party} {len(kept) * 20 / 1000:.1f} s")
    if len(told) < len(PARTIES):
        raise Broken("a party has no notice in the recording")
    return "kept and heard whole: " + ", ".join(told)


def channels_right(seen: Observed) -> str:
    """The released WAV has the caller left and the agent right, each with its own notice."""
    if seen.release is None:
        raise Broken("nothing was released")
    left_right = _wav_channels(seen.release.wav)
    for party, own, other in zip(PARTIES, left_right, left_right[::-1], strict=True):
        for leg in (party, f"service-{party}"):
            run = _decoded(_longest_run(seen.frames(leg))[EDGE_FRAMES:-EDGE_FRAMES])
            if not run or own.find(run) < 0:
                raise Broken(f"leg {leg} is not in its channel as it was kept")
            if other.find(run) >= 0:
                raise Broken(f"leg {leg} is in the other party's channel")
    return f"caller left, agent right, {len(left_right[0]) / 16000:.1f} s"


def _permit(seen: Observed) -> CanonicalEntry:
    return seen.only("permit.issued")


def _first_kept(seen: Observed) -> dict[str, dict[str, int] | None]:
    return {leg["leg"]: leg.get("first_kept") for leg in _permit(seen).fields["legs"]}


def _heard_notice_ns(seen: Observed, party: str) -> int:
    """When the party's phone received the last packet of its notice."""
    span = next((span for told, span in seen.spans() if told == party), None)
    if span is None:
        raise Broken(f"the {party} was given no notice")
    times = [f.time_ns for f in seen.phones[party].received if in_span(f, span)]
    if not times:
        raise Broken(f"the {party}'s phone received nothing of its notice")
    return max(times)


def _due(seen: Observed, party: str, kept: dict[Number, Frame], end_ns: int) -> list[MediaFrame]:
    """The audio frames that must have been kept."""
    tape = seen.phones[party]
    return [
        frame
        for frame in tape.sent[_begin(seen, party, tape, kept) :]
        if frame.time_ns < end_ns - TAIL_NS and frame.payload_type in CODECS
    ]


def _begin(seen: Observed, party: str, tape: PhoneTape, kept: dict[Number, Frame]) -> int:
    """Where in what the phone sent the permit begins."""
    position = _first_kept(seen).get(party)
    for at, frame in enumerate(tape.sent):
        if position is None:
            # Nothing had arrived at the notice's end: what arrived first begins the recording.
            if number_of(frame) in kept:
                return at
        elif (frame.ssrc, frame.sequence) == (
            position["ssrc"],
            position["sequence"] % SEQUENCES,
        ):
            return at
    raise Broken(f"the {party} never sent the frame at the permit's position")


def _kept_once(seen: Observed, party: str) -> dict[Number, Frame]:
    frames = seen.frames(party)
    kept = {number_of(frame): frame for frame in frames}
    if len(kept) != len(frames):
        raise Broken(f"{len(frames) - len(kept)} frames of the {party} were kept twice")
    return kept


def _in_gap(seen: Observed, party: str, frame: MediaFrame) -> bool:
    for gap in seen.of_type("recording.gap"):
        first, last = gap.fields["first"], gap.fields["last"]
        if gap.fields["leg"] == party and frame.ssrc == first["ssrc"]:
            distance = (frame.sequence - first["sequence"]) % SEQUENCES
            length: int = last["sequence"] - first["sequence"]
            if distance <= length:
                return True
    return False


def _longest_run(frames: Sequence[Frame]) -> list[Frame]:
    """The longest stretch of audio frames without a missing number or a jump of the clock."""
    runs: list[list[Frame]] = [[]]
    for frame in (frame for frame in frames if frame.payload_type in CODECS):
        if runs[-1] and not _follows(runs[-1][-1], frame):
            runs.append([])
        runs[-1].append(frame)
    return max(runs, key=len)


def _follows(frame: Frame, following: Frame) -> bool:
    step = (following.timestamp - frame.timestamp) % (1 << 32)
    return following.sequence == frame.sequence + 1 and step == len(frame.payload)


def _decoded(frames: Sequence[Frame]) -> bytes:
    parts = [g711.decode(CODECS[frame.payload_type], frame.payload) for frame in frames]
    return np.concatenate(parts).astype("<i2").tobytes() if parts else b""


def _wav_channels(wav: bytes) -> tuple[bytes, bytes]:
    try:
        with wave.open(io.BytesIO(wav)) as file:
            shape = (file.getnchannels(), file.getframerate(), file.getsampwidth())
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise Broken(f"what was released is not a WAV file: {error}") from error
    if shape != (2, g711.CLOCK_RATE, 2):
        raise Broken(f"the WAV has the shape {shape}, not 2 channels, 8000 Hz, 16 bit")
    samples = np.frombuffer(data, "<i2").reshape(-1, 2)
    return samples[:, 0].tobytes(), samples[:, 1].tobytes()
