"""A CA of the tests, and certificates of services as a deployment would issue them."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = ipaddress.ip_address("127.0.0.1")


class Authority:
    """Issues certificates that name a service in a DNS name and a node as common name."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes the PEM files."""
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("the tests")
        certificate = self._sign(self._name, self._key, [], is_authority=True)
        (folder / "ca.crt").write_bytes(certificate)

    def settings(self, service: str, node: str) -> dict[str, str]:
        """The TLS settings of a service, its certificate newly issued."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(f"{service}.onrecord.svc"), x509.IPAddress(LOOPBACK)]
        stem = self._folder / f"{service}-{node}"
        stem.with_suffix(".crt").write_bytes(self._sign(_name(node), key, names))
        stem.with_suffix(".key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return {
            "tls_ca": str(self._folder / "ca.crt"),
            "tls_cert": str(stem.with_suffix(".crt")),
            "tls_key": str(stem.with_suffix(".key")),
        }

    def credentials(self, service: str, node: str) -> grpc.ChannelCredentials:
        """What a client needs to be this service on this node."""
        paths = self.settings(service, node)
        ca, key, cert = (
            Path(paths[name]).read_bytes() for name in ("tls_ca", "tls_key", "tls_cert")
        )
        return grpc.ssl_channel_credentials(ca, key, cert)

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: list[x509.GeneralName],
        *,
        is_authority: bool = False,
    ) -> bytes:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
