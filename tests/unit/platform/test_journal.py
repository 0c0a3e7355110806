"""The journal keeps every record whose append returned, whatever happened to the file's end."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.platform import journal as journal_module
from onrecord.platform.errors import Overloaded
from onrecord.platform.journal import Journal, read_key

KEY = bytes(range(32))


def records(journal: Journal) -> list[bytes]:
    """What waits, without positions."""
    return [record for _, record in journal.pending()]


def test_records_survive_reopening_in_order(tmp_path: Path) -> None:
    """What was appended and not acknowledged is there again, in the order written."""
    journal = Journal(tmp_path / "j", KEY)
    positions = [journal.append(b"record %d" % n) for n in range(5)]
    journal.acknowledge(positions[1])
    assert records(Journal(tmp_path / "j", KEY)) == [b"record %d" % n for n in (0, 2, 3, 4)]


def test_acknowledged_records_leave_the_disk(tmp_path: Path) -> None:
    """After the next opening nothing of an acknowledged record is stored, not even encrypted."""
    journal = Journal(tmp_path / "j", KEY)
    journal.acknowledge(journal.append(b"x" * 10_000))
    journal.close()
    Journal(tmp_path / "j", KEY).close()
    assert (tmp_path / "j").stat().st_size < 100


def test_a_tail_torn_at_any_byte_loses_only_the_last_record(tmp_path: Path) -> None:
    """A file cut anywhere inside its last frame still gives every earlier record."""
    journal = Journal(tmp_path / "j", KEY)
    journal.append(b"first")
    whole = (tmp_path / "j").stat().st_size
    journal.append(b"second")
    data = (tmp_path / "j").read_bytes()
    for cut in range(whole, len(data)):
        (tmp_path / "torn").write_bytes(data[:cut])
        torn = Journal(tmp_path / "torn", KEY)
        assert records(torn) == [b"first"]
        assert torn.torn_bytes == cut - whole


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    """A damaged frame ends the reading: nothing false is given out."""
    journal = Journal(tmp_path / "j", KEY)
    journal.append(b"first")
    end = (tmp_path / "j").stat().st_size
    journal.append(b"second")
    data = bytearray((tmp_path / "j").read_bytes())
    data[end + 12] ^= 1
    (tmp_path / "j").write_bytes(data)
    assert records(Journal(tmp_path / "j", KEY)) == [b"first"]


def test_nothing_is_readable_without_the_key(tmp_path: Path) -> None:
    """The file holds no record in clear, and another key is refused, not read as empty."""
    journal = Journal(tmp_path / "j", KEY)
    journal.append(b"+442079460123")
    assert b"+44" not in (tmp_path / "j").read_bytes()
    with pytest.raises(OSError, match="another key"):
        Journal(tmp_path / "j", bytes(32))


def test_a_full_journal_pushes_back(tmp_path: Path) -> None:
    """At the limit an append is refused and says so; room comes back with acknowledgement."""
    journal = Journal(tmp_path / "j", KEY, limit=2)
    first = journal.append(b"a")
    journal.append(b"b")
    with pytest.raises(Overloaded, match="journal_full"):
        journal.append(b"c")
    journal.acknowledge(first)
    journal.append(b"c")
    assert records(journal) == [b"b", b"c"]


def test_a_sync_and_a_compaction_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is given up while another thread syncs it is still its own file there."""
    monkeypatch.setattr(journal_module, "COMPACT_BYTES", 100)
    journal = Journal(tmp_path / "j", KEY)
    waiting = journal.append(b"x" * 200)
    fdatasync, synced = os.fdatasync, []

    def compacted_meanwhile(descriptor: int) -> None:
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        journal.acknowledge(waiting)
        synced.append(os.fstat(descriptor).st_size)
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", compacted_meanwhile)
    journal.sync()
    assert synced[0] > 200
    assert (tmp_path / "j").stat().st_size < 100


def test_a_compaction_that_fails_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for a new file the old one goes on, and a reopened journal has its records."""
    monkeypatch.setattr(journal_module, "COMPACT_BYTES", 100)
    journal = Journal(tmp_path / "j", KEY)
    waiting = journal.append(b"x" * 200)

    def no_room(_descriptor: int) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fdatasync", no_room)
        journal.acknowledge(waiting)
    journal.append(b"later")
    assert records(Journal(tmp_path / "j", KEY)) == [b"later"]


@given(st.binary(max_size=400))
def test_any_bytes_open_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """A file of arbitrary content is an empty journal or a clear error, never a crash."""
    path = tmp_path_factory.mktemp("fuzz") / "j"
    path.write_bytes(b"ORJ1" + data if len(data) % 2 else data)
    found: list[bytes] = []
    with contextlib.suppress(OSError):
        found = records(Journal(path, KEY))
    assert found == []


def test_a_key_file_is_checked(tmp_path: Path) -> None:
    """A key of the wrong length is refused by name."""
    (tmp_path / "key").write_text("00" * 16)
    with pytest.raises(ValueError, match="16 bytes"):
        read_key(tmp_path / "key")
