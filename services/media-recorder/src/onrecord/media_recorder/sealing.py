"""From a spool file to the object's bytes, made once: what was sealed is only read again."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from onrecord.contracts.events import StoredUnit
from onrecord.ledger.permit import SignedPermit
from onrecord.media_recorder.adapters import call_log
from onrecord.media_recorder.adapters.call_log import CallLog
from onrecord.media_recorder.adapters.spool import (
    HeaderCut,
    SpoolDamaged,
    UnitName,
    WrittenUnit,
    read_open,
    write_whole,
)
from onrecord.media_recorder.adapters.unit_keys import UnitKeys
from onrecord.media_recorder.listing import sealed_unit
from onrecord.platform.telemetry import get_logger
from onrecord.rtp.storage.sealing import PREFIX_OCTETS, SALT_OCTETS, seal
from onrecord.rtp.storage.unit import encode_unit

log = get_logger()


class Sealed(NamedTuple):
    """A unit as the ledger is to list it, and its object's bytes."""

    unit: StoredUnit
    body: bytes


class Sealing:
    """Seals the units of one spool, each under its own key."""

    def __init__(
        self, spool: Path, keys: UnitKeys, known_key: Callable[[str, str], bytes | None]
    ) -> None:
        """`known_key` gives a call's key that is in memory; `keys` asks the ledger for others."""
        self._spool = spool
        self._keys = keys
        self._known_key = known_key

    async def sealed(self, name: UnitName) -> Sealed | None:
        """Give a unit's object, made now or earlier; None if it has no frame, or is stored.

        Raises `SpoolDamaged`, `Unavailable` and `Refused` for its key, OSError.
        """
        return await asyncio.to_thread(self._sealed_before, name) or await self._seal(name)

    def _sealed_before(self, name: UnitName) -> Sealed | None:
        """Give what an earlier attempt has sealed, if there was one."""
        path = name.path(self._spool, "sealed")
        if not path.exists():
            return None
        body = path.read_bytes()
        written = CallLog.read(self._spool / name.call / "log")
        listed = written.units.get((name.leg, name.epoch, name.k))
        if listed is None:
            raise SpoolDamaged(f"{name.object_key}.sealed is not in the call's log")
        if hashlib.sha256(body).hexdigest() != listed.unit.sha256:
            raise SpoolDamaged(f"{name.object_key}.sealed is not what was sealed")
        return Sealed(listed.unit, body)

    async def _seal(self, name: UnitName) -> Sealed | None:
        """Make the object's bytes, once; None if there is nothing to seal."""
        open_path = name.path(self._spool, "open")
        try:
            written = await asyncio.to_thread(read_open, open_path)
        except FileNotFoundError:
            return None
        except HeaderCut:
            await asyncio.to_thread(open_path.unlink)
            return None
        if written.torn:
            log.warning("torn tail cut", unit=name.object_key, octets=written.torn)
        if not written.frames:
            await asyncio.to_thread(open_path.unlink)
            return None
        key = await self._key(name.call, written)
        return await asyncio.to_thread(self._make_object, name, written, key)

    def _make_object(self, name: UnitName, written: WrittenUnit, key: bytes) -> Sealed:
        frames = written.decrypt(key)
        body = seal(
            encode_unit(written.header.unit, frames),
            key,
            name.object_key.encode(),
            salt=secrets.token_bytes(SALT_OCTETS),
            nonce_prefix=secrets.token_bytes(PREFIX_OCTETS),
        )
        sealed = sealed_unit(name, written, frames, body)
        # The log comes first: a `.sealed` file without its line could not be listed.
        call_log.append(self._spool / name.call / "log", [call_log.unit_line(sealed)])
        write_whole(name.path(self._spool, "sealed"), body)
        return Sealed(sealed.unit, body)

    async def _key(self, call: str, written: WrittenUnit) -> bytes:
        key_ref = written.header.key_ref
        if known := self._known_key(call, key_ref):
            return known
        signed = SignedPermit(written.header.permit_payload, written.header.permit_signature)
        number = int(key_ref.rpartition("/")[2])
        return (await self._keys.fetch(signed, number, 1))[number]
