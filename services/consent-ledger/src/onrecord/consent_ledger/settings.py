"""What the consent ledger is told by its environment."""

from __future__ import annotations

from pathlib import Path

from onrecord.platform.settings import ServiceSettings
from pydantic import Field


class LedgerSettings(ServiceSettings):
    """The settings of the consent ledger."""

    mongo: str = Field(description="MongoDB URI")
    mongo_timeout: float = Field(default=5.0, gt=0, description="seconds for each operation")
    permit_private_key: Path = Field(description="PEM file with the Ed25519 key of the permits")
    permit_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="seconds in which a permit must be used first"
    )
    append_queue: int = Field(default=10_000, gt=0, description="entries that may wait")
    append_seconds: float = Field(
        default=10.0, gt=0, description="longest wait of an append for a definite answer"
    )
    kafka_replication: int = Field(
        default=1, gt=0, description="replicas of each topic that the relay creates"
    )
    keepalive_silence: float = Field(
        default=60.0, gt=0, description="seconds without KeepAlive after which a call is lost"
    )
    # Twice the time after which a recorder that lives says itself why it cannot store: only one
    # that is gone is silent for so long. A verdict that was too early is amended.
    recorder_silence: float = Field(
        default=7200.0,
        gt=0,
        description="seconds without a fact of an ended call after which it is judged as it is",
    )
