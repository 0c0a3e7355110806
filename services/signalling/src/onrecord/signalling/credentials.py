"""The credentials file: who we are to each trunk that asks, by realm; apart from the routes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from onrecord.sip.digest import Credentials


class CredentialsError(ValueError):
    """A credentials file that cannot be used; the text names file and key, never a value."""


def load_credentials(path: Path | None) -> Mapping[str, Credentials]:
    """Read `[realm."NAME"]` tables with `user` and `password`; empty without a file.

    Raises `CredentialsError` when it is missing or wrong.
    """
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CredentialsError(f"{path}: cannot be read ({type(error).__name__})") from None
    realms = document.get("realm")
    if document.keys() != {"realm"} or not isinstance(realms, dict):
        raise CredentialsError(f'{path}: write [realm."NAME"] tables and nothing else')
    return {realm: _credentials(f"{path}: realm.{realm}", table) for realm, table in realms.items()}


def _credentials(place: str, table: object) -> Credentials:
    if not isinstance(table, dict) or table.keys() != {"user", "password"}:
        raise CredentialsError(f"{place}: write user and password")
    user, password = table["user"], table["password"]
    if not isinstance(user, str) or not isinstance(password, str) or not user:
        raise CredentialsError(f"{place}: write user and password as texts in quotes")
    if any(char in user for char in '"\\\r\n'):
        raise CredentialsError(f"{place}: a user has no quotes, backslashes or line ends")
    return Credentials(user, password)
