"""Certificates for SIP over TLS on one machine: an authority, the stack's own, and a phone's.

They are for trial and tests. The authority's key is thrown away, so that nobody can make more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from onrecord.standalone.folder import DataFolder, write_secret

VALID = timedelta(days=825)
RENEW_BEFORE = timedelta(days=30)
PARTS = ("stack", "phone")
"""Who has a certificate: the stack, and whoever calls it."""
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class SipCertificates:
    """Where the PEM files lie: `ca.pem`, and for each part `<part>.pem` and `<part>.key`."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The authority that both sides trust."""
        return self.folder / "ca.pem"

    def certificate(self, part: str) -> Path:
        """The certificate of a part."""
        return self.folder / f"{part}.pem"

    def key(self, part: str) -> Path:
        """Its private key."""
        return self.folder / f"{part}.key"


def ensure_certificates(folder: DataFolder, host: str, now: datetime) -> SipCertificates:
    """Make certificates for loopback and `host`, an IP address, unless there are fitting ones."""
    files = SipCertificates(folder.keys / "sip")
    hosts = sorted({"127.0.0.1", "::1", host})
    if not _are_fitting(files, hosts, now):
        _make(files, hosts, now)
    return files


def _are_fitting(files: SipCertificates, hosts: list[str], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate(PARTS[-1]).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    covered = {str(one) for one in names.value.get_values_for_type(x509.IPAddress)}
    return covered >= set(hosts) and certificate.not_valid_after_utc - now > RENEW_BEFORE


def _make(files: SipCertificates, hosts: list[str], now: datetime) -> None:
    files.folder.mkdir(parents=True, exist_ok=True)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("onrecord trial authority")
    authority = (
        _builder(issuer, issuer, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, SHA256())
    )
    write_secret(files.authority, authority.public_bytes(Encoding.PEM))
    alternatives = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), *(x509.IPAddress(ip_address(host)) for host in hosts)]
    )
    for part in PARTS:
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            _builder(_name(f"onrecord {part}"), issuer, key.public_key(), now)
            .add_extension(alternatives, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
                critical=False,
            )
            .sign(authority_key, SHA256())
        )
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_secret(files.key(part), plain)
        # After its key, and the last part's last of all: its presence says that all is whole.
        write_secret(files.certificate(part), made.public_bytes(Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(hours=1))
        .not_valid_after(now.astimezone(UTC) + VALID)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
