"""Playback: nothing before the access entry, everything verified, bounded pieces and memory."""

from __future__ import annotations

import io
import random
import wave
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from onrecord.platform.errors import Damaged, InvalidInput, NotFound, Overloaded, Refused
from onrecord.retrieval import playback as module
from onrecord.retrieval.domain.access import Access
from onrecord.retrieval.domain.call import Call, TimelineFact
from onrecord.retrieval.domain.fold import fold, timeline_fact
from onrecord.retrieval.domain.release import Unit
from onrecord.retrieval.playback import Playback
from onrecord.rtp import g711
from onrecord.rtp.storage.unit import Frame
from unit.retrieval.factories import a_recorded_call, a_unit_row, an_entry, frames

ACCESS = Access("c1", "quality", "j.doe", "supervisor", "r1")


@dataclass
class Archive:
    """Index, ledger and object store of one call, writing down what happens in which order."""

    units: dict[tuple[str, int], list[Frame]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    journal: list[str] = field(default_factory=list)
    damaged: str = ""
    known: bool = True
    entries: list[Any] | None = None

    def keep(self, leg: str, k: int, kept: list[Frame]) -> None:
        """Store a unit."""
        self.units[leg, k] = kept
        self.rows.append(a_unit_row("c1", leg, k))

    async def get(self, call: str) -> tuple[Call, tuple[TimelineFact, ...]] | None:
        """The index's answer."""
        entries = self.entries or a_recorded_call(rows=self.rows)
        summary = Call(call)
        for entry in entries:
            summary = fold(summary, entry)
        return (summary, tuple(map(timeline_fact, entries))) if self.known else None

    async def open_audio(self, access: Access) -> dict[str, bytes]:
        """The ledger's answer: the access is committed now."""
        self.journal.append(f"access {access.person} {access.purpose}")
        return {row["key_ref"]: bytes(32) for row in self.rows if row["leg"] != "erased"}

    async def read(self, unit: Unit, key: bytes) -> tuple[str, list[Frame]]:
        """The store's answer."""
        self.journal.append(unit.object_key)
        if unit.object_key == self.damaged:
            raise Damaged("object_altered", unit.object_key)
        return "PCMU", self.units[unit.leg, unit.k]

    def playback(self) -> Playback:
        """The use case on top of this archive."""
        return Playback(self, self, self)


async def listen(archive: Archive, access: Access = ACCESS) -> list[bytes]:
    """All pieces of the file."""
    async with aclosing(archive.playback().stream(access)) as pieces:
        return [piece async for piece in pieces]


def audio_of(pieces: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The left and the right channel, as 16-bit samples."""
    with wave.open(io.BytesIO(b"".join(pieces))) as reader:
        stereo = np.frombuffer(reader.readframes(reader.getnframes()), "<i2").reshape(-1, 2)
    return stereo[:, 0].tobytes(), stereo[:, 1].tobytes()


def speech(seed: int, packets: int) -> list[bytes]:
    """Payloads that differ."""
    chance = random.Random(seed)  # noqa: S311  # test audio
    return [chance.randbytes(160) for _ in range(packets)]


def sound(payloads: Sequence[bytes]) -> bytes:
    """The exact 16-bit samples of G.711 payloads."""
    return g711.decode("PCMU", b"".join(payloads)).tobytes()


def silence(milliseconds: int) -> bytes:
    """Samples of nothing."""
    return bytes(2 * 8 * milliseconds)


async def test_the_parties_and_what_they_were_played_stand_in_their_channels() -> None:
    """The notice comes first, then the speech, each at the time it was heard."""
    archive = Archive()
    notice, caller, agent = speech(1, 50), speech(2, 200), speech(3, 150)
    archive.keep("service-caller", 0, frames(notice, ssrc=1))
    archive.keep("service-agent", 0, frames(notice, ssrc=2, at=200))
    archive.keep("caller", 0, frames(caller, ssrc=3, at=1500))
    archive.keep("agent", 0, frames(agent, ssrc=4, at=2000))
    left, right = audio_of(await listen(archive))
    assert left == sound(notice) + silence(500) + sound(caller)
    assert right == silence(200) + sound(notice) + silence(800) + sound(agent) + silence(500)


async def test_nothing_is_fetched_before_the_access_is_committed() -> None:
    """I8: the entry that names person and purpose comes first."""
    archive = Archive()
    archive.keep("caller", 0, frames(speech(1, 5)))
    await listen(archive)
    assert archive.journal[0] == "access j.doe quality"


async def test_a_purpose_that_was_not_told_is_refused_naming_those_that_were() -> None:
    """No access is entered, no key asked for."""
    archive = Archive()
    archive.keep("caller", 0, frames(speech(1, 5)))
    with pytest.raises(InvalidInput, match=r"'disputes', only of: quality, training"):
        await listen(archive, replace(ACCESS, purpose="disputes"))
    assert archive.journal == []


async def test_a_call_that_is_not_known_is_not_found() -> None:
    """Nothing is asked of the ledger."""
    archive = Archive(known=False)
    with pytest.raises(NotFound):
        await listen(archive)
    assert archive.journal == []


async def test_a_call_that_nobody_answered_says_so() -> None:
    """It has no verdict, and never will."""
    ended = an_entry("c1", 0, "call.ended", cause="rejected", answered=False, sip_code=486)
    with pytest.raises(Refused, match=r"never answered \(486\)"):
        await listen(Archive(entries=[ended]))


async def test_a_call_of_which_nothing_is_kept_names_its_verdict() -> None:
    """Whoever asks learns why there is nothing to hear."""
    verdict = an_entry("c1", 0, "call.verdict", verdict="failed", causes=["permit_refused"])
    archive = Archive(entries=[verdict])
    with pytest.raises(Refused, match=r"its verdict: failed \(permit_refused\)"):
        await listen(archive)


async def test_a_damaged_unit_is_reported_before_the_first_byte() -> None:
    """Every unit is verified first: no file that breaks off."""
    archive = Archive(damaged="c1/caller/5-1")
    for k in range(2):
        archive.keep("caller", k, frames(speech(k, 5), at=100 * k, sequence=100 + 5 * k))
    stream = archive.playback().stream(ACCESS)
    with pytest.raises(Damaged, match="c1/caller/5-1"):
        await anext(stream)


async def test_a_unit_whose_key_was_destroyed_is_named() -> None:
    """Erased audio cannot be released, by anybody."""
    archive = Archive()
    archive.keep("erased", 0, [])
    with pytest.raises(Refused, match="the key of c1/erased/5-0 is gone"):
        await listen(archive)


async def test_minutes_of_audio_come_in_pieces_of_64_kib_unit_by_unit() -> None:
    """The second pass reads a unit when its time comes, and no unit waits in memory."""
    archive = Archive()
    spoken = speech(1, 900)
    whole = frames(spoken)
    for k in range(3):
        archive.keep("caller", k, whole[300 * k : 300 * k + 300])
    pieces, read_at = [], []
    async with aclosing(archive.playback().stream(ACCESS)) as stream:
        async for piece in stream:
            pieces.append(piece)
            read_at.append(len(archive.journal) - 1 - 3)
    assert max(map(len, pieces)) == 64 * 1024
    assert read_at == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    left, right = audio_of(pieces)
    assert left == sound(spoken)
    assert not any(right)


async def test_frames_that_came_late_into_the_next_unit_stand_where_they_belong() -> None:
    """The border between units is by arrival, the place by the RTP clock."""
    archive = Archive()
    spoken = speech(1, 20)
    whole = frames(spoken)
    archive.keep("caller", 0, [*whole[:9], whole[10]])
    archive.keep("caller", 1, [whole[9], *whole[11:]])
    left, _ = audio_of(await listen(archive))
    assert left == sound(spoken)


async def test_a_stall_at_the_border_of_two_units_moves_nothing() -> None:
    """The second unit arrived late as a whole; its source's clock goes on across the border."""
    archive = Archive()
    spoken = speech(1, 20)
    whole = frames(spoken)
    stalled = [replace(frame, arrival_ns=frame.arrival_ns + 300_000_000) for frame in whole[10:]]
    archive.keep("caller", 0, whole[:10])
    archive.keep("caller", 1, stalled)
    left, _ = audio_of(await listen(archive))
    assert left == sound(spoken)


async def test_a_recording_without_audio_frames_is_an_empty_file() -> None:
    """Only masked digits were kept: a valid file of no length."""
    archive = Archive()
    archive.keep("caller", 0, [replace(frames([b""])[0], payload_type=101)])
    assert audio_of(await listen(archive)) == (b"", b"")


async def test_frames_years_apart_are_reported_and_not_rendered() -> None:
    """A clock that leapt would make a file of terabytes."""
    archive = Archive()
    archive.keep("caller", 0, frames(speech(1, 5)))
    archive.keep("agent", 0, frames(speech(1, 5), at=10**9))
    with pytest.raises(Damaged, match="too_long"):
        await listen(archive)


async def test_listeners_beyond_the_bound_are_refused_and_places_come_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each holds units in memory; one who leaves makes room."""
    monkeypatch.setattr(module, "MAX_LISTENERS", 1)
    archive = Archive()
    archive.keep("caller", 0, frames(speech(1, 5)))
    playback = archive.playback()
    first = playback.stream(ACCESS)
    await anext(first)
    with pytest.raises(Overloaded):
        await anext(playback.stream(ACCESS))
    await first.aclose()
    async with aclosing(playback.stream(ACCESS)) as second:
        assert await anext(second)
