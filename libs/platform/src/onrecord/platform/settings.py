"""Settings from the environment, typed, with errors that name the variable."""

from __future__ import annotations

import ipaddress
import socket
import sys
from pathlib import Path
from typing import Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ONRECORD_"


class ServiceSettings(BaseSettings):
    """What every service is told. A service adds its own fields in a subclass.

    The environment is shared by all five, so a variable that another service reads is not an error.
    A gRPC door that other machines can reach needs mutual TLS: whoever reaches a plain one may use
    it.
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

    @property
    def mutual_tls(self) -> bool:
        """Whether gRPC is by mutual TLS; plain otherwise."""
        return self.tls_ca is not None

    @model_validator(mode="after")
    def _no_plain_door_but_on_loopback(self) -> Self:
        given = [one is not None for one in (self.tls_cert, self.tls_key, self.tls_ca)]
        names = f"{PREFIX}TLS_CERT, {PREFIX}TLS_KEY and {PREFIX}TLS_CA"
        if any(given) and not all(given):
            raise ValueError(f"{names} belong together: set all three, or none")
        if not self.mutual_tls and not _is_loopback(self.grpc_listen):
            raise ValueError(
                f"{PREFIX}GRPC_LISTEN={self.grpc_listen} can be reached from other machines: "
                f"set {names}, or listen on 127.0.0.1"
            )
        return self


def _is_loopback(listen: str) -> bool:
    """Whether `host:port` is on this machine alone; a name other than localhost is taken as not."""
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


S = TypeVar("S", bound=ServiceSettings)


def load(settings_class: type[S]) -> S:
    """Read the settings, or print what is wrong with which variable and exit with code 2."""
    try:
        return settings_class()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            # What concerns several settings names them itself.
            place = f"{PREFIX}{name}: " if name else ""
            print(f"{place}{problem['msg']}", file=sys.stderr)
        raise SystemExit(2) from None
