"""Certificates for SIP over TLS: made once, good for both sides, and renewed when they must be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from onrecord.sip.aio import Security
from onrecord.standalone.certificates import PARTS, ensure_certificates
from onrecord.standalone.folder import DataFolder

NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A new data folder."""
    return DataFolder.at(tmp_path / "data")


def test_both_sides_get_a_certificate_that_is_kept(folder: DataFolder) -> None:
    """They load, only their owner can read them, and a second start changes nothing."""
    files = ensure_certificates(folder, "127.0.0.1", NOW)
    for part in PARTS:
        Security.load(files.certificate(part), files.key(part), files.authority)
        assert files.key(part).stat().st_mode & 0o077 == 0
    before = files.certificate("stack").read_bytes()
    ensure_certificates(folder, "127.0.0.1", NOW)
    assert files.certificate("stack").read_bytes() == before


@pytest.mark.parametrize(
    ("host", "later"), [("192.0.2.10", timedelta(0)), ("127.0.0.1", timedelta(days=800))]
)
def test_certificates_that_do_not_fit_are_made_anew(
    folder: DataFolder, host: str, later: timedelta
) -> None:
    """Another address, or soon out of date."""
    files = ensure_certificates(folder, "127.0.0.1", NOW)
    before = files.certificate("stack").read_bytes()
    ensure_certificates(folder, host, NOW + later)
    assert files.certificate("stack").read_bytes() != before
