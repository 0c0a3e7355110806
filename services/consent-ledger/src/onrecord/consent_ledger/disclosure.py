"""The only way to personal values and to audio keys: first the entry that says who and why."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onrecord.consent_ledger.appender import Appender
from onrecord.consent_ledger.domain.call import Call, fold
from onrecord.consent_ledger.domain.entries import StoredEntry, draft, sealing_keys
from onrecord.consent_ledger.domain.errors import Conflict
from onrecord.consent_ledger.ports import EntryLog, Secrets
from onrecord.contracts import events
from onrecord.contracts.event import Event, format_time
from onrecord.contracts.fact import Fact
from onrecord.contracts.registry import fact_class
from onrecord.ledger import sealing
from onrecord.ledger.unit_keys import block_id, take
from onrecord.platform.clock import utc_now
from onrecord.platform.errors import Denied, InvalidInput, NotFound
from onrecord.platform.telemetry import traceparent
from pydantic import ValidationError

PSEUDONYM_KEY = "pseudonym/person"
"""The secret under which people are named in open fields: the same person, the same pseudonym."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, in which role, for which purpose, and the id that makes a retry the same."""

    person: str
    role: str
    purpose: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Opened:
    """One entry's personal fields in clear; `erased` are those whose key is destroyed."""

    event_id: str
    fields: Mapping[str, Any]
    erased: tuple[str, ...]


class Disclosure:
    """Opens what is sealed, after committing the access."""

    def __init__(self, entries: EntryLog, appender: Appender, secrets: Secrets) -> None:
        self._log = entries
        self._appender = appender
        self._secrets = secrets

    async def open_fields(
        self, event_ids: Sequence[str], asker: Asker
    ) -> tuple[StoredEntry, list[Opened]]:
        """Commit `fields.opened`, then decrypt the sealed fields of these entries of one call.

        Raises InvalidInput, NotFound, Conflict, and what Appender.append raises.
        """
        found = await self._log.find(event_ids)
        missing = [event_id for event_id in event_ids if event_id not in found]
        if missing or not event_ids:
            raise NotFound("no_such_event", ", ".join(missing) or "event_ids is empty")
        calls = {entry.call for entry in found.values()}
        if len(calls) != 1 or "" in calls:
            raise InvalidInput("several_calls", "event_ids must belong to one call")
        call_id = calls.pop()
        fields = {"event_ids": list(event_ids), **await self._who(asker)}
        entry = await self._commit(call_id, events.FieldsOpened, fields, asker)
        return entry, [await self._open(found[event_id]) for event_id in event_ids]

    async def open_audio(
        self, call_id: str, legs: Sequence[str], audio_format: str, asker: Asker
    ) -> tuple[StoredEntry, dict[str, bytes]]:
        """Commit `access.granted`, then give the keys of the call's stored units on these legs.

        No legs means all. A key that was destroyed is left out. Raises NotFound (nothing is
        stored), Denied (the parties were not told of the purpose), InvalidInput, Conflict, and
        what Appender.append raises.
        """
        call: Call = fold(call_id, await self._log.stream(f"call/{call_id}"))
        if not call.units:
            raise NotFound("no_recording", f"nothing of call {call_id} is stored")
        if asker.purpose not in call.told_purposes:
            raise Denied("purpose_not_told", "the parties were told of other purposes")
        fields = {"legs": list(legs), "format": audio_format, **await self._who(asker)}
        entry = await self._commit(call_id, events.AccessGranted, fields, asker)
        refs = [unit.key_ref for unit in call.units if not legs or unit.leg in legs]
        blocks = await self._secrets.find({block_id(ref) for ref in refs})
        return entry, take(refs, blocks)

    async def _who(self, asker: Asker) -> dict[str, Any]:
        if not asker.person:
            raise InvalidInput("bad_request", "person is needed")
        if not _REQUEST_ID.fullmatch(asker.request_id):
            raise InvalidInput("bad_request", "request_id: 1 to 128 letters, digits, dots, dashes")
        secret = (await self._secrets.ensure([PSEUDONYM_KEY]))[PSEUDONYM_KEY]
        pseudonym = hmac.digest(secret, asker.person.encode(), hashlib.sha256).hex()
        return {
            "pseudonym": pseudonym,
            "role": asker.role,
            "purpose": asker.purpose,
            "person": asker.person,
        }

    async def _commit(
        self, call_id: str, kind: type[Fact], fields: dict[str, Any], asker: Asker
    ) -> StoredEntry:
        try:
            fact = kind.model_validate(fields)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            name = ".".join(str(part) for part in problem["loc"])
            raise InvalidInput("bad_request", f"{name}: {problem['msg']}") from error
        event = Event(
            event_id=f"{call_id}:{kind.TYPE}:{asker.request_id}",
            stream=f"recording/{call_id}",
            call=call_id,
            time=format_time(utc_now()),
            fact=fact,
            traceparent=traceparent(),
        )
        secrets = await self._secrets.ensure(sealing_keys(event).values())
        made = draft(event, secrets, os.urandom)
        entry = (await self._appender.append([made]))[0]
        # A request id must not carry a second, wider request behind the first one's entry.
        if dict(entry.read().fields) != dict(made.fields):
            raise Conflict(f"request_id {asker.request_id} was used for another request")
        return entry

    async def _open(self, entry: StoredEntry) -> Opened:
        content = entry.read()
        parties = fact_class(entry.type).sealed_fields()
        ids = {name: f"{entry.stream}/{parties[name]}" for name in entry.sealed}
        secrets = await self._secrets.find(ids.values())
        fields = {
            name: sealing.open_sealed(
                sealing.derive_keys(secrets[ids[name]]),
                entry.event_id,
                name,
                sealing.SealedValue(content.sealed[name], ciphertext),
            )
            for name, ciphertext in entry.sealed.items()
            if ids[name] in secrets
        }
        return Opened(entry.event_id, fields, tuple(sorted(entry.sealed.keys() - fields.keys())))
