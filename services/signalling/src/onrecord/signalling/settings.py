"""What the signalling service is told by its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from onrecord.platform.settings import ServiceSettings
from pydantic import Field, model_validator


class SignallingSettings(ServiceSettings):
    """The settings of every service, and those of this one. Times are in seconds."""

    sip_listen: str = Field(
        default="127.0.0.1:5060",
        description="address:port for SIP over UDP and TCP; one for each IP version, with a comma",
    )
    sip_advertise: str = Field(
        default="",
        description="address for Via and Contact; empty: the one of sip_listen; as many as there",
    )
    sip_tls_listen: str = Field(
        default="", description="address:port for SIP over TLS; empty: no TLS"
    )
    sip_tls_cert: Path | None = Field(default=None, description="our SIP certificate (PEM)")
    sip_tls_key: Path | None = Field(default=None, description="its private key (PEM)")
    sip_tls_ca: Path | None = Field(
        default=None, description="the authority that every SIP peer's certificate must be of (PEM)"
    )
    routes: Path = Field(description="the routes file")
    sip_credentials: Path | None = Field(
        default=None, description="file with user and password by realm, for trunks that ask"
    )
    journal_key: Path = Field(description="file with 32 bytes in hexadecimal")
    ledger: str = Field(description="host:port of the consent-ledger's door")
    media: str = Field(description="host:port of the media-recorder's door")
    announcement: str = Field(description="host:port of the announcement's door")
    sip_name_servers: str = Field(
        default="",
        description="addresses of the name servers for routes, with commas; empty: the system's",
    )
    sip_new_per_second: float = Field(
        default=500.0,
        gt=0,
        description="new requests a second of one source; more get 503, emergency calls excepted",
    )
    max_calls: int = Field(
        default=2000, gt=0, description="calls at once; more get 503, emergency calls excepted"
    )
    drain_calls_seconds: float = Field(
        default=0.0,
        ge=0,
        description="how long calls may go on after SIGTERM; what runs then is hung up",
    )
    ring_seconds: float = Field(default=180.0, gt=0, description="how long an agent may ring")
    media_seconds: float = Field(default=2.0, gt=0, description="longest wait for the recorder")
    announce_seconds: float = Field(
        default=10.0, gt=0, description="longest wait for all notices of a call"
    )
    permit_wait_seconds: float = Field(default=3.0, gt=0, description="longest wait for a permit")
    renew_seconds: float = Field(
        default=5.0, gt=0, description="how often calls are renewed at their recorder"
    )
    keepalive_seconds: float = Field(
        default=10.0, gt=0, description="how often running calls are named to the ledger"
    )

    @model_validator(mode="after")
    def _needs_an_address(self) -> Self:
        listens = f"{self.sip_listen},{self.sip_tls_listen}".split(",")
        is_anywhere = any(one.strip().startswith(("0.0.0.0:", "[::]:")) for one in listens)
        if is_anywhere and not self.sip_advertise:
            raise ValueError(
                "sip_listen on all addresses needs ONRECORD_SIP_ADVERTISE: "
                "the address that peers reach us at"
            )
        return self

    @model_validator(mode="after")
    def _needs_certificates(self) -> Self:
        if self.sip_tls_listen and not (self.sip_tls_cert and self.sip_tls_key and self.sip_tls_ca):
            raise ValueError(
                "sip_tls_listen needs ONRECORD_SIP_TLS_CERT, ONRECORD_SIP_TLS_KEY and "
                "ONRECORD_SIP_TLS_CA: both sides of a connection show a certificate"
            )
        return self
