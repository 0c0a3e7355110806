"""What the pure ledger code raises."""


class LedgerError(Exception):
    """Bytes, a key or a signature that cannot be accepted.

    `reason` is a closed slug that callers may branch on; the text is for people. Never worth a
    retry with the same input, so `retryable` is False for every subclass.
    """

    retryable = False

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the slug `reason`; `detail` says what was found and what was expected."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class CanonicalError(LedgerError):
    """A value that RFC 8785 JSON or the entry format cannot carry (reason `not_canonical`)."""


class SigningKeyError(LedgerError):
    """A key file or key bytes that are not what they should be (reason `bad_key`)."""


class SealError(LedgerError):
    """A sealed value that does not open (`bad_seal`) or is not what was committed to."""


class PermitError(LedgerError):
    """A permit that may not open the gate.

    Reasons: `malformed`, `bad_signature`, `unknown_key`, `other_call`, `other_audience`,
    `not_yet_valid`, `expired`.
    """


class ProofError(LedgerError):
    """A Merkle proof that does not hold.

    Reasons: `bad_size`, `bad_hash`, `bad_length`, `root_mismatch`.
    """
