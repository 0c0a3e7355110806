"""What the retrieval service is told by its environment."""

from __future__ import annotations

from onrecord.platform.settings import ServiceSettings
from pydantic import Field


class RetrievalSettings(ServiceSettings):
    """The settings of every service, and those of this one."""

    ledger: str = Field(description="host:port of the consent-ledger's door")
    mongo: str = Field(description="URI of the MongoDB that keeps the index")
    objects: str = Field(description="object store: a folder or s3://bucket?endpoint=…")
