"""The keys of a stack on one machine: made at the first start, kept in the data folder."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from onrecord.standalone.folder import DataFolder, write_secret

JOURNAL_KEY_OCTETS = 32


@dataclass(frozen=True)
class KeyFiles:
    """Where the keys lie: the permit's Ed25519 pair (PEM) and the journals' key (hexadecimal)."""

    permit_private: Path
    permit_public: Path
    journal: Path


def ensure_keys(folder: DataFolder) -> KeyFiles:
    """Make the keys that are missing, readable by their owner only, and say where all are."""
    files = KeyFiles(
        folder.keys / "permit.key.pem", folder.keys / "permit.pub.pem", folder.keys / "journal.key"
    )
    if not files.permit_private.exists():
        _make_permit_pair(files)
    if not files.journal.exists():
        write_secret(files.journal, secrets.token_hex(JOURNAL_KEY_OCTETS).encode() + b"\n")
    return files


def _make_permit_pair(files: KeyFiles) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_secret(files.permit_public, public)
    # Last, because its presence says that the pair is whole.
    write_secret(
        files.permit_private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
