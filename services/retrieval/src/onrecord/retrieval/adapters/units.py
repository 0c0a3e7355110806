"""Stored units from the object store, verified before anything of them is used."""

from __future__ import annotations

import asyncio
import hashlib

from onrecord.platform.errors import Damaged, NotFound, Refused
from onrecord.platform.objects import ObjectStore
from onrecord.retrieval.domain.release import Unit
from onrecord.rtp.errors import RtpError
from onrecord.rtp.g711 import CLOCK_RATE
from onrecord.rtp.storage.sealing import unseal
from onrecord.rtp.storage.unit import Frame, decode_unit

CODECS = frozenset({"PCMU", "PCMA"})


class UnitReader:
    """Fetches and opens units, one at a time for each caller."""

    def __init__(self, objects: ObjectStore) -> None:
        """`objects` is the store that the recorder puts units into."""
        self._objects = objects

    async def read(self, unit: Unit, key: bytes) -> tuple[str, list[Frame]]:
        """The codec and the frames of a unit.

        Raises Damaged, naming the unit, unless the object has the SHA-256 that its entry lists,
        opens with the key, and is the unit that it should be; Refused for a codec that is not
        G.711; Unavailable when the store does not answer.
        """
        try:
            sealed = await self._objects.get(unit.object_key)
        except NotFound as error:
            raise Damaged("object_missing", unit.object_key) from error
        # Hashing and opening a megabyte takes milliseconds: not on the event loop.
        return await asyncio.to_thread(_open, unit, key, sealed)


def _open(unit: Unit, key: bytes, sealed: bytes) -> tuple[str, list[Frame]]:
    if hashlib.sha256(sealed).hexdigest() != unit.sha256:
        raise Damaged("object_altered", f"{unit.object_key} is not what was stored")
    try:
        header, frames = decode_unit(unseal(sealed, key, unit.object_key.encode()))
    except RtpError as error:
        raise Damaged(error.reason, f"{unit.object_key}: {error}") from error
    if f"{header.call}/{header.leg}/{header.epoch}-{header.k}" != unit.object_key:
        raise Damaged("object_swapped", f"{unit.object_key} holds another unit")
    if header.codec not in CODECS or header.clock_rate != CLOCK_RATE:
        raise Refused("codec_unsupported", f"{unit.object_key} holds {header.codec}")
    return header.codec, frames
