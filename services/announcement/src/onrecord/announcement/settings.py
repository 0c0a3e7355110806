"""What the announcement service is told by its environment."""

from __future__ import annotations

from pathlib import Path

from onrecord.platform.settings import ServiceSettings
from pydantic import Field

SHIPPED_PROMPTS = Path(__file__).parent / "prompts"


class AnnouncementSettings(ServiceSettings):
    """The settings of every service, and those of this one."""

    ledger: str = Field(description="host:port of the consent-ledger's door")
    prompts: Path = Field(
        default=SHIPPED_PROMPTS, description="folder with prompts.toml and the WAV files it names"
    )
