"""The journal: a local, append-only, encrypted list of records that are not yet taken care of.

kill -9 at any moment loses no record whose `append` returned; a torn tail is cut when the journal
is opened. After a power loss the records of the last moments before a `sync` may be missing.

Format, version 1: `ORJ1` | 16-byte salt | frames. A frame is `>II` (length, CRC-32 of the
ciphertext) and AES-256-GCM ciphertext under HKDF-SHA256(key, salt, "onrecord journal v1"), with the
frame's ordinal in the file as nonce. The plaintext is one byte `R` and a record, or `A` and the
8-byte position of the record that is taken care of. Each opening writes a new file, with a new
salt: so no nonce is used twice, and no acknowledged record stays.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zlib
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from onrecord.platform.errors import Overloaded

MAGIC = b"ORJ1"
SALT = 16
FRAME = struct.Struct(">II")
MAX_RECORD = 1 << 20
COMPACT_BYTES = 4 << 20


class _File:
    """A journal's file being written; `descriptor` is its owner's to close."""

    def __init__(self, path: Path, key: bytes) -> None:
        path.unlink(missing_ok=True)
        salt = os.urandom(SALT)
        self.path = path
        self.size = len(MAGIC) + SALT
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._aead = _cipher(key, salt)
        self._ordinal = 0
        os.write(self.descriptor, MAGIC + salt)

    def write(self, plaintext: bytes) -> None:
        """Add a frame. Raises OSError, and then nothing was added."""
        sealed = self._aead.encrypt(self._ordinal.to_bytes(12, "big"), plaintext, None)
        frame = FRAME.pack(len(sealed), zlib.crc32(sealed)) + sealed
        written = os.write(self.descriptor, frame)
        if written != len(frame):
            # A torn frame must not be followed by whole ones: they could not be read.
            os.ftruncate(self.descriptor, self.size)
            raise OSError(f"{self.path}: only {written} of {len(frame)} bytes fit on the disk")
        self._ordinal += 1
        self.size += len(frame)


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    kdf = HKDF(hashes.SHA256(), 32, salt, b"onrecord journal v1")
    return AESGCM(kdf.derive(key))


class Journal:
    """Records in the order appended, each pending until it is acknowledged.

    Positions count from 0 and are good while the journal is open. One process at a time.
    """

    def __init__(self, path: Path, key: bytes, limit: int = 100_000) -> None:
        """Open or create; `key` has 32 bytes; at most `limit` records wait. Raises OSError."""
        self._path = path
        self._key = key
        self._limit = limit
        self._next = 0
        self._pending: dict[int, bytes] = {}
        # Held while one file takes another's place, never while the disk is waited for.
        self._changing = threading.Lock()
        self.torn_bytes = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        for record in self._read():
            self._pending[self._next] = record
            self._next += 1
        self._file = self._fresh_file()
        self._sync_folder()

    def append(self, record: bytes) -> int:
        """Write a record and return its position. Raises Overloaded, OSError, ValueError."""
        if len(record) > MAX_RECORD:
            raise ValueError(f"a record has at most {MAX_RECORD} bytes, this one {len(record)}")
        if len(self._pending) >= self._limit:
            raise Overloaded("journal_full", f"{self._limit} records wait in {self._path.name}")
        position = self._next
        self._file.write(b"R" + record)
        self._next += 1
        self._pending[position] = record
        return position

    def acknowledge(self, position: int) -> None:
        """Mark a record as taken care of; harmless when it is already."""
        if self._pending.pop(position, None) is None:
            return
        self._file.write(b"A" + struct.pack(">Q", position))
        if self._file.size > COMPACT_BYTES and not self._pending:
            # A disk too full for a new file: the old one goes on, and this is tried again.
            with contextlib.suppress(OSError):
                self._compact()

    def pending(self) -> list[tuple[int, bytes]]:
        """Records not acknowledged, in the order written."""
        return sorted(self._pending.items())

    def __len__(self) -> int:
        return len(self._pending)

    def sync(self) -> None:
        """Force what was written to the disk; blocks for milliseconds.

        May be called from another thread: a compaction that closes the file meanwhile has brought
        to the disk whatever this was to bring there.
        """
        with self._changing:
            descriptor = os.dup(self._file.descriptor)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Sync and close; pending records stay for the next opening."""
        self.sync()
        os.close(self._file.descriptor)

    def _compact(self) -> None:
        """Go over to a new file, as nothing is pending. Raises OSError."""
        fresh = self._fresh_file()
        with self._changing:
            previous, self._file = self._file, fresh
        self._next = 0
        os.close(previous.descriptor)
        self._sync_folder()

    def _fresh_file(self) -> _File:
        """Put a file that holds what is pending in the old one's place."""
        fresh = _File(self._path.with_suffix(".new"), self._key)
        try:
            for record in self._pending.values():
                fresh.write(b"R" + record)
            os.fdatasync(fresh.descriptor)
            fresh.path.replace(self._path)
        except OSError:
            os.close(fresh.descriptor)
            raise
        return fresh

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self) -> list[bytes]:
        if not self._path.exists():
            return []
        data = self._path.read_bytes()
        head = len(MAGIC) + SALT
        if len(data) < head or data[: len(MAGIC)] != MAGIC:
            raise OSError(f"{self._path} is not a journal; move it away to start without it")
        aead = _cipher(self._key, data[len(MAGIC) : head])
        records: dict[int, bytes] = {}
        position = ordinal = 0
        offset = head
        while (frame := self._frame(data, offset)) is not None:
            try:
                plaintext = aead.decrypt(ordinal.to_bytes(12, "big"), frame, None)
            except InvalidTag:
                if ordinal == 0:
                    raise OSError(f"{self._path} was written with another key") from None
                break
            if plaintext[:1] == b"R":
                records[position] = plaintext[1:]
                position += 1
            else:
                records.pop(struct.unpack(">Q", plaintext[1:])[0], None)
            ordinal += 1
            offset += FRAME.size + len(frame)
        self.torn_bytes = len(data) - offset
        return [records[key] for key in sorted(records)]

    @staticmethod
    def _frame(data: bytes, offset: int) -> bytes | None:
        """The whole, undamaged ciphertext at this offset, or None at the end or a torn tail."""
        if offset + FRAME.size > len(data):
            return None
        length, crc = FRAME.unpack_from(data, offset)
        frame = data[offset + FRAME.size : offset + FRAME.size + length]
        return frame if len(frame) == length and zlib.crc32(frame) == crc else None


def read_key(path: Path) -> bytes:
    """The 32-byte key of a file that holds it in hexadecimal. Raises OSError, ValueError."""
    key = bytes.fromhex(path.read_text().strip())
    if len(key) != 32:
        raise ValueError(f"{path} holds {len(key)} bytes, a journal key has 32")
    return key
