"""Permits and unit keys: one guarded entry for each request, the same bytes for each retry."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onrecord.consent_ledger.appender import Appender
from onrecord.consent_ledger.domain import admission
from onrecord.consent_ledger.domain.call import fold
from onrecord.consent_ledger.domain.entries import Draft, StoredEntry, open_draft
from onrecord.consent_ledger.domain.errors import RecordingComplete
from onrecord.consent_ledger.ports import EntryLog, Secrets
from onrecord.contracts import events
from onrecord.ledger import permit as permits
from onrecord.ledger.errors import PermitError
from onrecord.ledger.keys import key_id
from onrecord.ledger.unit_keys import BLOCK_SIZE, block_id, key_ref, take
from onrecord.platform.errors import Denied, InvalidInput, Refused
from onrecord.platform.telemetry import traceparent

FIRST_UNITS = 240
"""Keys that come with a permit: four legs for an hour, at one unit a minute."""

MAX_UNITS = 1000
LAST_UNIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a permit request: `permit` and `keys`, or the reason against."""

    entry: StoredEntry
    permit: permits.SignedPermit | None
    keys: dict[str, bytes]
    reason: str


class Admissions:
    """Gives permits for one signing key."""

    def __init__(
        self,
        entries: EntryLog,
        appender: Appender,
        secrets: Secrets,
        key: Ed25519PrivateKey,
        lifetime: float,
    ) -> None:
        """A permit must be used first within `lifetime` seconds."""
        self._log = entries
        self._appender = appender
        self._secrets = secrets
        self._key = key
        self._key_id = key_id(key.public_key())
        self._lifetime = lifetime

    async def request(self, request: admission.PermitRequest) -> Admission:
        """Decide, commit the decision, and only then sign.

        Raises admission.BadRequest, FactsMissing, RecordingComplete, and what Appender.append
        raises.
        """
        admission.check_request(request)
        cause = traceparent()

        def guard(entries: Sequence[StoredEntry], now: datetime) -> Draft | StoredEntry:
            answered = {
                f"{request.call}:{fact.TYPE}:{request.number}"
                for fact in (events.PermitIssued, events.PermitRefused)
            }
            for entry in entries:
                if entry.event_id in answered:
                    _check_unfinished(request.call, entries)
                    return entry
            event = admission.answer(
                request,
                fold(request.call, entries),
                now,
                lifetime=self._lifetime,
                key_id=self._key_id,
            )
            return open_draft(dataclasses.replace(event, traceparent=cause))

        entry = await self._appender.append_guarded(f"call/{request.call}", guard)
        content = entry.read()
        if entry.type == events.PermitRefused.TYPE:
            refused = events.PermitRefused.model_validate(dict(content.fields))
            return Admission(entry, None, {}, refused.reason)
        issued = events.PermitIssued.model_validate(dict(content.fields))
        signed = permits.sign(
            admission.permit_of(issued, request.call, content.time, self._key_id), self._key
        )
        if hashlib.sha256(signed.payload).hexdigest() != issued.payload_sha256:
            raise Refused("permit_of_another_key", "ask again with a new permit id")
        keys = await self._keys(request.permit_id, range(FIRST_UNITS))
        return Admission(entry, signed, keys, "")

    async def unit_keys(
        self, signed: permits.SignedPermit, first: int, count: int, node: str | None
    ) -> dict[str, bytes]:
        """Keys `first` to `first + count - 1` of a permit, by reference; repeats give the same.

        `node` is the recorder's, None where no certificate tells. Raises InvalidInput, Denied (not
        our permit, or another recorder's), RecordingComplete, StoreUnavailable.
        """
        if not 0 < count <= MAX_UNITS or first + count > LAST_UNIT:
            raise InvalidInput("bad_range", f"count: 1 to {MAX_UNITS}, numbers below {LAST_UNIT}")
        try:
            permit = permits.verify(signed, self._key.public_key())
        except PermitError as error:
            raise Denied(error.reason, error.detail) from error
        if node is not None and permit.audience not in (permits.ANY_AUDIENCE, node):
            raise Denied("other_audience", f"the permit is for {permit.audience}, not {node}")
        _check_unfinished(permit.call, await self._log.stream(f"call/{permit.call}"))
        return await self._keys(permit.permit_id, range(first, first + count))

    async def _keys(self, permit_id: str, numbers: range) -> dict[str, bytes]:
        refs = [key_ref(permit_id, number) for number in numbers]
        blocks = await self._secrets.ensure({block_id(ref) for ref in refs}, BLOCK_SIZE)
        return take(refs, blocks)


def _check_unfinished(call: str, entries: Sequence[StoredEntry]) -> None:
    """Refuse when all is stored: then the permit lies in the store, for whoever can read there."""
    if fold(call, entries).stored_all:
        raise RecordingComplete(f"call {call} is stored: ask for its audio by Open")
