"""The calls of this worker on disk: sealed, one journal record each, gone when the call is over.

kill -9 loses nothing that was kept; after a power loss the last seconds may be missing, and the
ledger then finds the calls' worker silent.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

from onrecord.platform.errors import Overloaded
from onrecord.platform.journal import Journal
from onrecord.platform.telemetry import get_logger, meter
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.kept import KeptCall
from onrecord.sip.dialog import Dialog
from onrecord.sip.errors import SipError
from onrecord.sip.events import LegId
from onrecord.sip.headers import Address
from onrecord.sip.hop import Hop
from onrecord.sip.uri import SipUri
from pydantic_core import to_json

log = get_logger()
not_kept = meter().create_counter("onrecord_calls_not_kept", description="failed journal writes")

COMPACT_BYTES = 8 << 20


class KeptCalls:
    """The newest state of each call, on disk at once; writing never fails a call."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Open or create the journal; `key` has 32 bytes. Raises OSError."""
        self._path, self._key = path, key
        self._calls: dict[str, KeptCall] = {}
        self._positions: dict[str, int] = {}
        self._leaving: dict[LegId, str] = {}
        self._hang_ups: dict[str, int] = {}
        self._written = 0
        self._journal = self._open()

    def all(self) -> list[KeptCall]:
        """Every call that is kept; after the start those of the process before."""
        return list(self._calls.values())

    def keep(self, call: KeptCall) -> None:
        """Keep this state of the call; nothing is written when it is the one that is kept."""
        if self._calls.get(call.call_id) == call:
            return
        self._calls[call.call_id] = call
        record = encode(call)
        try:
            position = self._journal.append(record)
        except (Overloaded, OSError, ValueError) as error:
            not_kept.add(1)
            log.error("call not kept", call=call.call_id, why=type(error).__name__)
            return
        self._acknowledge(call.call_id)
        self._positions[call.call_id] = position
        self._written += len(record)
        if self._written > COMPACT_BYTES:
            self._journal.close()
            self._journal = self._open()

    def keep_until_over(self, call: KeptCall, legs: Collection[LegId]) -> None:
        """Keep a call that has ended until `leg_is_over` was said of each leg."""
        if not legs:
            self.forget(call.call_id)
            return
        self._leaving |= dict.fromkeys(legs, call.call_id)
        self._hang_ups[call.call_id] = len(legs)
        self.keep(call)

    def leg_is_over(self, leg: LegId) -> None:
        """Take note that a hang-up was answered or given up."""
        call_id = self._leaving.pop(leg, None)
        if call_id is None:
            return
        self._hang_ups[call_id] -= 1
        if not self._hang_ups[call_id]:
            del self._hang_ups[call_id]
            self.forget(call_id)

    def forget(self, call_id: str) -> None:
        """Keep the call no longer."""
        if self._calls.pop(call_id, None) is not None:
            self._acknowledge(call_id)

    def close(self) -> None:
        """Close the journal; what is kept stays for the next process."""
        self._journal.close()

    def _open(self) -> Journal:
        """Open the journal, which drops all but the pending records from the disk."""
        journal = Journal(self._path, self._key)
        self._positions.clear()
        self._written = 0
        for position, record in journal.pending():
            call = decode(record)
            if call is None:
                log.error("kept call not readable", position=position)
                journal.acknowledge(position)
                continue
            if call.call_id in self._positions:
                journal.acknowledge(self._positions[call.call_id])
            self._positions[call.call_id] = position
            self._calls[call.call_id] = call
        return journal

    def _acknowledge(self, call_id: str) -> None:
        position = self._positions.pop(call_id, None)
        if position is None:
            return
        try:
            self._journal.acknowledge(position)
        except OSError as error:
            not_kept.add(1)
            log.error("call not forgotten", call=call_id, why=type(error).__name__)


def encode(call: KeptCall) -> bytes:
    """Write a call as JSON."""
    fields = {f.name: getattr(call, f.name) for f in dataclasses.fields(call)}
    fields["dialogs"] = {party: _fields(dialog) for party, dialog in call.dialogs.items()}
    return to_json(fields)


def decode(record: bytes) -> KeptCall | None:
    """Read what `encode` wrote; None for anything else, such as another version's record."""
    try:
        fields = json.loads(record)
        dialogs = {party: _dialog(found) for party, found in fields.pop("dialogs").items()}
        return KeptCall(**fields, dialogs=cast("dict[Party, Dialog]", dialogs))
    except (SipError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _fields(dialog: Dialog) -> dict[str, object]:
    return {
        "call_id": dialog.call_id,
        "local": str(dialog.local),
        "remote": str(dialog.remote),
        "remote_target": str(dialog.remote_target),
        "peer": [dialog.peer.transport, dialog.peer.host, dialog.peer.port],
        "route_set": [str(route) for route in dialog.route_set],
        "local_cseq": dialog.local_cseq,
        "remote_cseq": dialog.remote_cseq,
    }


def _dialog(fields: dict[str, Any]) -> Dialog:
    transport, host, port = fields["peer"]
    return Dialog(
        call_id=fields["call_id"],
        local=Address.parse(fields["local"]),
        remote=Address.parse(fields["remote"]),
        remote_target=SipUri.parse(fields["remote_target"]),
        peer=Hop(transport, host, port),
        route_set=[Address.parse(route) for route in fields["route_set"]],
        local_cseq=fields["local_cseq"],
        remote_cseq=fields["remote_cseq"],
    )
