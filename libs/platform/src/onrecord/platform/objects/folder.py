"""Objects as files below one folder: the embedded default."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from pathlib import Path

from onrecord.platform.errors import NotFound, Unavailable
from onrecord.platform.objects.port import ObjectExists, check_key


class FolderStore:
    """An `ObjectStore` on a local file system that has hard links."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)

    async def put_new(self, key: str, body: bytes, sha256: str) -> None:
        """Write beside the place, fsync, then link: the link fails if the object is there."""
        if hashlib.sha256(body).hexdigest() != sha256:
            raise ValueError(f"the body of {key} does not have the SHA-256 that was given")
        await asyncio.to_thread(self._put_new, self._root / check_key(key), body)

    async def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range."""
        return await asyncio.to_thread(self._get, key, start, length)

    async def sha256(self, key: str) -> str | None:
        """Read it and hash it: a folder keeps no checksum of its own that could be trusted."""
        try:
            return hashlib.sha256(await self.get(key)).hexdigest()
        except NotFound:
            return None

    async def close(self) -> None:
        """Nothing to give back."""

    def _get(self, key: str, start: int, length: int | None) -> bytes:
        try:
            with (self._root / check_key(key)).open("rb") as file:
                file.seek(start)
                return file.read() if length is None else file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("object_missing", key) from None
        except OSError as error:
            raise Unavailable("object_store_unavailable", str(error)) from error

    def _put_new(self, place: Path, body: bytes) -> None:
        unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.link(unfinished, place)
            _sync_folder(place.parent)
        except FileExistsError:
            raise ObjectExists("object_exists", place.name) from None
        except OSError as error:
            raise Unavailable("object_store_unavailable", str(error)) from error
        finally:
            unfinished.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
