"""What can go wrong with a peer's message, as one class with a closed vocabulary."""

from __future__ import annotations


class SipError(Exception):
    """A message, address or session description that breaks the rules.

    `reason` is a stable slug for logs and metrics. `status` is the SIP status that answers a
    request with this fault; None means that nothing can be answered and the message is dropped.
    The text names the fault, never a value that the peer sent: values are personal data.
    """

    def __init__(self, reason: str, detail: str, status: int | None = 400) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.status = status


class WrongState(SipError):
    """The caller of this library asked for something that the leg's state does not allow."""

    def __init__(self, detail: str) -> None:
        super().__init__("wrong_state", detail, status=None)
