"""The spool keeps every whole frame, nothing in clear, and says what it cannot read."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.media_recorder.adapters.spool import (
    OpenUnit,
    SpoolDamaged,
    SpoolHeader,
    UnitName,
    frame_of,
    left_over,
    read_open,
)
from onrecord.media_recorder.domain.record import Kind, Record
from onrecord.rtp.storage.unit import UnitHeader

KEY = bytes(range(32))
NAME = UnitName("c1", "caller", 17, 0)
UNIT = UnitHeader("c1", "caller", 17, 0, "PCMU", 8000, "c1:p0", "2026-11-23T10:00:00.000000Z")
HEADER = SpoolHeader(UNIT, "c1:p0/0", b"{}", bytes(64))
AUDIO = b"spoken words " * 12


def record(sequence: int) -> Record:
    """One frame with recognisable audio."""
    return Record(0, Kind.FRAME, 0, 7, sequence, sequence * 160, 10**18, AUDIO)


def written(folder: Path, frames: int = 5) -> Path:
    """An open unit with so many frames, closed as a killed writer leaves it."""
    unit = OpenUnit(folder, NAME, HEADER, KEY)
    for number in range(frames):
        unit.append([(number * 200, record(number))])
    unit.sync()
    unit.close()
    return NAME.path(folder, "open")


def test_frames_are_read_back_and_not_in_clear(tmp_path: Path) -> None:
    """Frames, ring positions and permit come back; the disk shows no audio and no key."""
    path = written(tmp_path)
    found = read_open(path)
    assert found.header == HEADER
    assert [position for position, _ in found.frames] == [0, 200, 400, 600, 800]
    assert found.decrypt(KEY) == [frame_of(record(number)) for number in range(5)]
    assert b"spoken" not in path.read_bytes()
    assert KEY not in path.read_bytes()


@given(cut=st.integers(1, 1300))
def test_torn_tail_is_cut(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """Wherever a write was torn, the whole frames before it are there and no others."""
    path = written(tmp_path_factory.mktemp("spool"))
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    try:
        found = read_open(path)
    except SpoolDamaged:
        assert len(data) - cut < len(written(tmp_path_factory.mktemp("empty"), 0).read_bytes())
        return
    frames = found.decrypt(KEY)
    assert frames == [frame_of(record(number)) for number in range(len(frames))]
    assert len(frames) < 5


def test_altered_frame_and_wrong_key_are_named(tmp_path: Path) -> None:
    """A frame whose checksum was made to fit does not open; neither does another key."""
    found = read_open(written(tmp_path))
    with pytest.raises(SpoolDamaged, match="frame 0"):
        found.decrypt(bytes(32))


@given(data=st.binary(max_size=200))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Arbitrary bytes raise SpoolDamaged and nothing else."""
    path = tmp_path_factory.mktemp("spool") / "x.open"
    path.write_bytes(b"ORS1" + data)
    with pytest.raises(SpoolDamaged):
        read_open(path)


def test_left_over_units_are_named_once_in_order(tmp_path: Path) -> None:
    """A unit that is open and sealed counts once; strange files do not count."""
    written(tmp_path)
    NAME.path(tmp_path, "sealed").write_bytes(b"x")
    later = UnitName("c1", "agent", 17, 1)
    later.path(tmp_path, "open").parent.mkdir()
    later.path(tmp_path, "open").write_bytes(b"x")
    (tmp_path / "c1" / "agent" / "note.txt").write_text("x")
    assert list(left_over(tmp_path, "c1")) == [NAME, later]


def test_a_unit_is_never_written_twice(tmp_path: Path) -> None:
    """The same name again is an error: nonces would repeat."""
    written(tmp_path)
    with pytest.raises(FileExistsError):
        OpenUnit(tmp_path, NAME, HEADER, KEY)
