"""The credentials file: what it gives, and that a wrong one is explained without its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
from onrecord.signalling.credentials import CredentialsError, load_credentials
from onrecord.sip.digest import Credentials

GOOD = '[realm."sip.carrier.example"]\nuser = "4711"\npassword = "secret"\n'


def test_credentials_are_by_realm(tmp_path: Path) -> None:
    """One table each; no file, no credentials."""
    path = tmp_path / "credentials.toml"
    path.write_text(GOOD)
    assert load_credentials(path) == {"sip.carrier.example": Credentials("4711", "secret")}
    assert load_credentials(None) == {}


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "",
        GOOD + "more = 1\n",
        GOOD.replace("user", "name"),
        GOOD.replace('"4711"', "4711"),
        GOOD.replace('"4711"', '"a\\"b"'),
        GOOD.replace("[realm", "[realms"),
    ],
)
def test_a_wrong_file_is_explained_without_its_secrets(tmp_path: Path, text: str) -> None:
    """The text names the file and what to write, no password."""
    path = tmp_path / "credentials.toml"
    path.write_text(text)
    with pytest.raises(CredentialsError, match=r"credentials\.toml") as caught:
        load_credentials(path)
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    """A setting that names nothing is an error, not a call that fails later."""
    with pytest.raises(CredentialsError, match="cannot be read"):
        load_credentials(tmp_path / "none.toml")
