"""RFC 3261 §12.1.2 and RFC 3262 §4: the early dialogs of one INVITE of ours, one per fork."""

from __future__ import annotations

from dataclasses import dataclass

from onrecord.sip.capabilities import SDP_TYPE
from onrecord.sip.dialog import Dialog
from onrecord.sip.message import Response
from onrecord.sip.reliable import OPTION_TAG

MAX_FORKS = 16


@dataclass(slots=True)
class _Early:
    dialog: Dialog
    last_sequence: int | None = None
    description: bytes = b""


class EarlyDialogs:
    """Their sequence numbers go on in the dialog that is confirmed."""

    def __init__(self) -> None:
        self._early: dict[str, _Early] = {}

    def take(self, dialog: Dialog) -> Dialog | None:
        """Return the known dialog of a provisional response; None for one fork too many."""
        tag = dialog.remote.tag
        if tag not in self._early and len(self._early) < MAX_FORKS:
            self._early[tag] = _Early(dialog)
        found = self._early.get(tag)
        return found.dialog if found is not None else None

    def confirm(self, dialog: Dialog) -> Dialog:
        """Go on with the numbers of the early dialog; route set and target are the 2xx's own."""
        found = self._early.get(dialog.remote.tag)
        if found is not None:
            dialog.local_cseq = max(dialog.local_cseq, found.dialog.local_cseq)
            dialog.remote_cseq = found.dialog.remote_cseq
        return dialog

    def describe(self, response: Response) -> None:
        """Keep the description of a provisional response: the answer may come without one."""
        found = self._early.get(response.to.tag)
        if found is not None and response.body and response.content_type == SDP_TYPE:
            found.description = response.body

    def description_of(self, response: Response) -> bytes:
        """What the far side of a 2xx says of its media, there or earlier (RFC 3261 §13.2.1)."""
        found = self._early.get(response.to.tag)
        return response.body or (found.description if found is not None else b"")

    def sequence_of(self, response: Response) -> int | None:
        """The RSeq of a reliable response that is to be acknowledged; None for any other kind."""
        if OPTION_TAG not in (tag.lower() for tag in response.headers.values("Require")):
            return None
        text = response.headers.get("RSeq") or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None

    def is_next(self, response: Response, sequence: int) -> bool:
        """Note a reliable response; False for a repeat, and for one whose forerunner is missing."""
        found = self._early.get(response.to.tag)
        if found is None or found.last_sequence not in (None, sequence - 1):
            return False
        found.last_sequence = sequence
        return True
