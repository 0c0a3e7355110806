"""The spool: audio that is written and not yet stored, encrypted, one file per leg and minute.

`<spool>/<call>/<leg>/<epoch>-<k>.open` is a journal that only grows:

    `ORS1` | u32 header length | JSON header | u32 CRC-32 of the header
    per frame: u32 length | u64 ring position | ciphertext | u32 CRC-32 of all before

The ciphertext is AES-256-GCM of the frame in unit format 1, under HKDF-SHA256(unit key, info =
"onrecord spool v1 <epoch>/<k>/<leg>"), its nonce the frame's number, its associated data the ring
position. A restarted recorder has another epoch and so another subkey: no nonce is used twice. The
unit key itself is never on the disk. A torn tail is not read. `<epoch>-<k>.sealed` beside it holds
the object's final bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from onrecord.media_recorder.domain.record import Record
from onrecord.rtp.errors import RtpError
from onrecord.rtp.storage.unit import (
    Frame,
    UnitDecoder,
    UnitHeader,
    decode_header,
    encode_frame,
    encode_header,
)

MAGIC: Final = b"ORS1"
_U32 = struct.Struct(">I")
_FRAME = struct.Struct(">IQ")
_POSITION = struct.Struct(">Q")
MAX_FRAME: Final = 4096
# A longer file that seems to end within its header is taken for damaged: it may hold frames.
_MAX_CUT: Final = 1 << 14


class SpoolDamaged(Exception):
    """A spool file that cannot be read as one of ours; it is kept for a person to look at."""


class HeaderCut(SpoolDamaged):
    """A file that ends within its header: whoever began it died at that, so it holds no frame."""


@dataclass(frozen=True, slots=True)
class SpoolHeader:
    """What opens a spool file: the unit's header, its key's name, the permit that allows it."""

    unit: UnitHeader
    key_ref: str
    permit_payload: bytes
    permit_signature: bytes


@dataclass(frozen=True, slots=True)
class UnitName:
    """Which unit: its files in the spool and its object carry this name."""

    call: str
    leg: str
    epoch: int
    k: int

    @property
    def object_key(self) -> str:
        """Where the unit stands in the object store."""
        return f"{self.call}/{self.leg}/{self.epoch}-{self.k}"

    def path(self, spool: Path, suffix: str) -> Path:
        """Its file in the spool: `open`, `sealed`."""
        return spool / self.call / self.leg / f"{self.epoch}-{self.k}.{suffix}"


class OpenUnit:
    """A unit being written: an append that returned survives kill -9, a `sync` a loss of power."""

    def __init__(self, spool: Path, name: UnitName, header: SpoolHeader, key: bytes) -> None:
        """Create the file; raises OSError, FileExistsError if the unit was begun before."""
        self.name = name
        self.header = header
        self._cipher = _cipher(key, header.unit)
        self._count = 0
        self._closing = threading.Lock()
        self._closed = False
        path = name.path(spool, "open")
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        _write_all(self._descriptor, _encode_header(header))

    def append(self, records: Sequence[tuple[int, Record]]) -> None:
        """Write records with their ring positions, in one write. Raises OSError."""
        parts = []
        for position, record in records:
            place = _POSITION.pack(position)
            sealed = self._cipher.encrypt(
                self._count.to_bytes(12, "big"), encode_frame(frame_of(record)), place
            )
            self._count += 1
            frame = _U32.pack(len(sealed)) + place + sealed
            parts += [frame, _U32.pack(zlib.crc32(frame))]
        _write_all(self._descriptor, b"".join(parts))

    def sync(self) -> None:
        """Make what was appended survive a loss of power; may be called from another thread.

        Raises OSError; what was not yet on the disk may then be lost, so do not retry.
        """
        with self._closing:
            if not self._closed:
                os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Give the file back, after a sync that is under way."""
        with self._closing:
            self._closed = True
            os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class WrittenUnit:
    """An `.open` file as found: sealed frames in order; `torn` bytes at its end were cut off."""

    header: SpoolHeader
    frames: tuple[tuple[int, bytes], ...]
    torn: int

    def decrypt(self, key: bytes) -> list[Frame]:
        """Open all frames; raises `SpoolDamaged` at one that was altered or has another key."""
        cipher = _cipher(key, self.header.unit)
        decoder = UnitDecoder()
        decoder.feed(encode_header(self.header.unit))
        frames: list[Frame] = []
        for number, (position, sealed) in enumerate(self.frames):
            try:
                plain = cipher.decrypt(number.to_bytes(12, "big"), sealed, _POSITION.pack(position))
            except InvalidTag as error:
                raise SpoolDamaged(f"frame {number} does not open") from error
            frames += decoder.feed(plain)
        return frames


def read_open(path: Path) -> WrittenUnit:
    """Read an `.open` file up to its last whole frame.

    Raises OSError, `SpoolDamaged`, and of that `HeaderCut`.
    """
    data = path.read_bytes()
    header, at = _decode_header(data)
    frames = []
    while at + _FRAME.size <= len(data):
        length, position = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + length
        if length > MAX_FRAME or end + _U32.size > len(data):
            break
        if _U32.unpack_from(data, end)[0] != zlib.crc32(data[at:end]):
            break
        frames.append((position, data[at + _FRAME.size : end]))
        at = end + _U32.size
    return WrittenUnit(header, tuple(frames), len(data) - at)


def left_over(spool: Path, call: str) -> Iterator[UnitName]:
    """Name every unit of a call that has a file in the spool, once, oldest first."""
    found = set()
    for path in (spool / call).glob("*/*-*.*"):
        epoch, _, k = path.stem.partition("-")
        if path.suffix in {".open", ".sealed"} and epoch.isdigit() and k.isdigit():
            found.add((int(epoch), int(k), path.parent.name))
    for epoch_number, number, leg in sorted(found):
        yield UnitName(call, leg, epoch_number, number)


def calls_in(spool: Path) -> list[str]:
    """Name every call that has a folder in the spool."""
    return sorted(path.name for path in spool.iterdir() if path.is_dir())


def remove_call(folder: Path) -> None:
    """Remove a call's folder, its log last: without it, what is left would be another call's."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "log":
            path.unlink()
    (folder / "log").unlink(missing_ok=True)
    folder.rmdir()


def write_whole(path: Path, data: bytes) -> None:
    """Put a file there at once and durably: written beside, fsync, rename, folder fsync."""
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def frame_of(record: Record) -> Frame:
    """Give a ring record as a stored frame."""
    return Frame(
        record.arrival_ns,
        record.ssrc,
        record.sequence,
        record.timestamp,
        record.payload_type,
        record.payload,
    )


def _cipher(key: bytes, unit: UnitHeader) -> AESGCM:
    info = f"onrecord spool v1 {unit.epoch}/{unit.k}/{unit.leg}".encode()
    return AESGCM(HKDF(hashes.SHA256(), 32, None, info).derive(key))


def _encode_header(header: SpoolHeader) -> bytes:
    text = json.dumps(
        {
            "unit": asdict(header.unit),
            "key_ref": header.key_ref,
            "permit": {
                "payload": header.permit_payload.decode(),
                "signature": header.permit_signature.hex(),
            },
        }
    ).encode()
    return MAGIC + _U32.pack(len(text)) + text + _U32.pack(zlib.crc32(text))


def _decode_header(data: bytes) -> tuple[SpoolHeader, int]:
    begin = len(MAGIC) + _U32.size
    if not MAGIC.startswith(data[: len(MAGIC)]):
        raise SpoolDamaged("the file does not begin as a spool file")
    end = begin + (_U32.unpack_from(data, len(MAGIC))[0] if len(data) >= begin else 0)
    if len(data) < end + _U32.size and len(data) <= _MAX_CUT:
        raise HeaderCut("the file ends within its header")
    if end + _U32.size > len(data) or _U32.unpack_from(data, end)[0] != zlib.crc32(data[begin:end]):
        raise SpoolDamaged("the spool file's header is cut or altered")
    try:
        found = json.loads(data[begin:end])
        permit = found["permit"]
        header = SpoolHeader(
            decode_header(json.dumps(found["unit"]).encode()),
            found["key_ref"],
            permit["payload"].encode(),
            bytes.fromhex(permit["signature"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RtpError) as error:
        raise SpoolDamaged("the spool file's header is not one of ours") from error
    return header, end + _U32.size


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
