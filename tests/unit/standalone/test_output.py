"""Files that a command writes for one person."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from onrecord.standalone.errors import BadRequest, Refused
from onrecord.standalone.output import private_file


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask; nothing else is left beside it."""
    path = tmp_path / "call.wav"
    with private_file(path) as file:
        file.write(b"RIFF")
    assert path.read_bytes() == b"RIFF"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_refusal_leaves_the_earlier_file(tmp_path: Path) -> None:
    """What is not released does not destroy what was."""
    path = tmp_path / "call.wav"
    path.write_bytes(b"earlier")
    with pytest.raises(Refused), private_file(path):
        raise Refused("nothing is kept")
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", "missing/call.wav"])
def test_what_cannot_be_written_is_told_before_anything_is_done(tmp_path: Path, name: str) -> None:
    """A folder, or a file in none: the release is not asked for then."""
    with pytest.raises(BadRequest, match="cannot be written"), private_file(tmp_path / name):
        pytest.fail("the file was opened")


def test_a_device_is_written_to() -> None:
    """It is not replaced by a file."""
    with private_file(Path("/dev/null")) as file:
        file.write(b"RIFF")
    assert Path("/dev/null").is_char_device()
