"""Settings from the environment, typed, with errors that name the variable."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ONRECORD_"


class ServiceSettings(BaseSettings):
    """What every service is told. A service adds its own fields in a subclass.

    The environment is shared by all five, so a variable that another service reads is not an error.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    node: str = Field(default_factory=socket.gethostname, description="name of this instance")
    data: Path = Field(default=Path("data"), description="folder of this service's own files")
    grpc_listen: str = Field(default="127.0.0.1:0", description="host:port of the gRPC door")
    http_listen: str = Field(
        default="127.0.0.1:0", description="host:port of /livez, /readyz and /metrics"
    )
    kafka: str = Field(default="", description="bootstrap servers; empty: no bus")
    kafka_idempotence: bool = Field(
        default=True, description="idempotent producer; off where the broker has none"
    )
    tls_cert: Path | None = Field(default=None, description="PEM certificate for mutual TLS")
    tls_key: Path | None = Field(default=None, description="PEM private key for mutual TLS")
    tls_ca: Path | None = Field(default=None, description="PEM certificates of the peers' CA")
    spans: Path | None = Field(default=None, description="folder that keeps spans as JSON lines")
    drain_seconds: float = Field(default=5.0, gt=0, description="longest wait for work at stop")


S = TypeVar("S", bound=ServiceSettings)


def load(settings_class: type[S]) -> S:
    """Read the settings, or print what is wrong with which variable and exit with code 2."""
    try:
        return settings_class()
    except ValidationError as error:
        for problem in error.errors():
            name = PREFIX + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{name}: {problem['msg']}", file=sys.stderr)
        raise SystemExit(2) from None
