"""What is kept of a call so that the next process can end it properly, or go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onrecord.signalling.domain.effects import Enter
from onrecord.signalling.domain.inputs import Party
from onrecord.signalling.domain.plan import PARTIES, Kind, Plan
from onrecord.signalling.routes import OnNoPermit
from onrecord.sip.dialog import Dialog


@dataclass(frozen=True, slots=True)
class KeptCall:
    """A call as it stood. Times are RFC 3339, empty for what did not happen.

    `dialogs` are the confirmed ones. `is_over`: `call.ended` is entered, only hang-ups are left.
    """

    call_id: str
    kind: Kind
    line: str
    on_no_permit: OnNoPermit
    started_at: str
    traceparent: str
    gate: str = "not_asked"
    passes_through: bool = False
    media_node: str = ""
    media_address: str = ""
    answered_at: str = ""
    objections: int = 0
    is_over: bool = False
    dialogs: Mapping[Party, Dialog] = field(default_factory=dict)

    @property
    def can_go_on(self) -> bool:
        """Whether the parties still talk without us: both are there, and no media passes us."""
        return self.passes_through and not self.is_over and self.dialogs.keys() == {*PARTIES}

    @property
    def has_media(self) -> bool:
        """Whether a recorder may hold ports for it."""
        return self.kind == "recorded" and not self.passes_through

    def plan(self) -> Plan:
        """The plan of a call that goes on: nothing is left to decide, only to relay."""
        agent = self.dialogs["agent"]
        return Plan(
            call_id=self.call_id,
            kind=self.kind,
            line=self.line,
            on_no_permit=self.on_no_permit,
            offer=b"",
            content_type="",
            audio=None,
            decision=None,
            targets=(agent.remote_target,),
            caller=agent.local,
            headers=(),
            max_forwards=0,
            session_id=0,
            started={},
        )

    def end(self, talk_seconds: float) -> Enter:
        """The last fact of a call that its process did not see to its end."""
        fields: dict[str, object] = {
            "cause": "signalling_lost",
            "answered": bool(self.answered_at),
            "sip_code": 200 if self.answered_at else 0,
            "talk_seconds": round(max(0.0, talk_seconds), 3),
            "gate": self.gate,
        }
        return Enter("call.ended", fields)
