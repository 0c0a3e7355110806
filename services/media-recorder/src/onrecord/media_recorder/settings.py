"""What the recorder and its mover are told by the environment."""

from __future__ import annotations

from pathlib import Path

from onrecord.platform.settings import ServiceSettings
from pydantic import Field, field_validator


class MoverSettings(ServiceSettings):
    """The mover's settings."""

    mover: Path = Field(
        default=Path("data/mover.sock"), description="unix socket between mover and writer"
    )
    media_ip: str = Field(default="127.0.0.1", description="address that RTP is received on")
    media_ports: str = Field(
        default="20000-29999", description="port range for RTP; even ports are used"
    )
    ring_megabytes: int = Field(
        default=64, ge=1, le=4096, description="size of the ring; 64 is 3 s of 1,000 calls"
    )
    hold_seconds: float = Field(
        default=2.0, ge=0, description="how much of a person's audio waits for the permit"
    )
    notice_hold_seconds: float = Field(
        default=30.0, ge=0, description="how much of what was played waits for the permit"
    )

    @field_validator("media_ports")
    @classmethod
    def _check_ports(cls, text: str) -> str:
        first, dash, last = text.partition("-")
        if not (dash and first.isdigit() and last.isdigit()):
            raise ValueError("write the first and last port as in 20000-29999")
        if not 1024 <= int(first) < int(last) <= 65535:
            raise ValueError("the ports must rise and lie between 1024 and 65535")
        return text

    @property
    def port_range(self) -> range:
        """The ports, as a range that ends after the last."""
        first, _, last = self.media_ports.partition("-")
        return range(int(first), int(last) + 1)


class RecorderSettings(ServiceSettings):
    """The writer's settings."""

    mover: Path = Field(
        default=Path("data/mover.sock"), description="unix socket between mover and writer"
    )
    spool: Path = Field(default=Path("data/spool"), description="folder of audio not yet stored")
    objects: str = Field(
        default="data/objects", description="object store: a folder or s3://bucket?endpoint=…"
    )
    ledger: str = Field(default="127.0.0.1:7001", description="host:port of the consent-ledger")
    permit_public_key: Path = Field(
        default=Path("data/permit.pub"), description="PEM file: the ledger's permit key"
    )
    journal_key: Path = Field(
        default=Path("data/journal.key"), description="file with the journal's key, 32 bytes hex"
    )
    media_advertise: str = Field(
        default="", description="host:port of this recorder's door as others reach it"
    )
    unit_seconds: float = Field(default=60.0, gt=0, description="length of a stored unit")
    lease_seconds: float = Field(
        default=15.0, gt=0, description="a call not renewed for so long has lost its signalling"
    )
    orphan_seconds: float = Field(
        default=30.0, gt=0, description="RTP silence after which such a call is closed"
    )
    rtp_timeout_seconds: float = Field(
        default=10.0, gt=0, description="silence of a leg that watchers are told of"
    )
