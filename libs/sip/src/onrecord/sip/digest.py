"""RFC 7616 with RFC 8760, the client's side: answers to challenges with a user's password.

SHA-256 before MD5 where a server offers both in that order; `qop` is `auth` or, for old servers,
none. Left out: `auth-int`, `-sess` algorithms, user name hashing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onrecord.sip.headers import split_top_level
from onrecord.sip.message import Request, Response

_ALGORITHMS: dict[str, Callable[[bytes], str]] = {
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
}
_HEADERS = {
    401: ("WWW-Authenticate", "Authorization"),
    407: ("Proxy-Authenticate", "Proxy-Authorization"),
}
ANSWERS = tuple(answers for _, answers in _HEADERS.values())


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to one realm."""

    user: str
    password: str


@dataclass(slots=True)
class _Challenge:
    realm: str
    nonce: str
    algorithm: str
    opaque: str
    has_qop: bool
    uses: int = 0


class Authorizer:
    """Answers the challenges that one call meets; later requests bring the answers unasked."""

    def __init__(self, credentials: Mapping[str, Credentials], tokens: Callable[[], str]) -> None:
        """`credentials` are by realm; `tokens` gives client nonces."""
        self._credentials = credentials
        self._tokens = tokens
        self._challenges: dict[tuple[str, str], _Challenge] = {}

    def take(self, response: Response) -> bool:
        """Take a challenge of a 401 or 407, the first that we can answer (RFC 8760 §2.4).

        False where there is none, and where our answer to it was refused already.
        """
        asks, answers = _HEADERS.get(response.status, ("", ""))
        for text in response.headers.fields(asks) if asks else ():
            fields = _fields(text)
            challenge = _read(fields)
            if challenge is None or challenge.realm not in self._credentials:
                continue
            place = answers, challenge.realm
            if place in self._challenges and fields.get("stale", "").lower() != "true":
                return False
            self._challenges[place] = challenge
            return True
        return False

    def authorize(self, request: Request) -> None:
        """Add the answers to every challenge met so far."""
        request.headers.override(
            [
                (header, self._answer(challenge, request))
                for (header, _), challenge in self._challenges.items()
            ]
        )

    def _answer(self, challenge: _Challenge, request: Request) -> str:
        credentials = self._credentials[challenge.realm]
        digest = _ALGORITHMS[challenge.algorithm]
        uri = str(request.uri)
        secret = digest(f"{credentials.user}:{challenge.realm}:{credentials.password}".encode())
        action = digest(f"{request.method}:{uri}".encode())
        said = {
            "username": f'"{credentials.user}"',
            "realm": f'"{challenge.realm}"',
            "nonce": f'"{challenge.nonce}"',
            "uri": f'"{uri}"',
            "algorithm": challenge.algorithm,
        }
        proof = f"{secret}:{challenge.nonce}:{action}"
        if challenge.has_qop:
            challenge.uses += 1
            count, own = f"{challenge.uses:08x}", self._tokens()
            proof = f"{secret}:{challenge.nonce}:{count}:{own}:auth:{action}"
            said |= {"qop": "auth", "nc": count, "cnonce": f'"{own}"'}
        if challenge.opaque:
            said["opaque"] = f'"{challenge.opaque}"'
        said["response"] = f'"{digest(proof.encode())}"'
        return "Digest " + ", ".join(f"{name}={value}" for name, value in said.items())


def _read(fields: dict[str, str]) -> _Challenge | None:
    """Return a challenge that we can answer; None for any other."""
    algorithm = fields.get("algorithm", "MD5").upper()
    offered = [value.strip().lower() for value in fields.get("qop", "").split(",")]
    realm, nonce, opaque = (fields.get(name, "") for name in ("realm", "nonce", "opaque"))
    is_known = algorithm in _ALGORITHMS and ("auth" in offered or offered == [""])
    if not is_known or not nonce or any(set(text) & {'"', "\\"} for text in (realm, nonce, opaque)):
        return None
    return _Challenge(realm, nonce, algorithm, opaque, "auth" in offered)


def _fields(text: str) -> dict[str, str]:
    """Read `Digest name=value, name="value"`; empty for another scheme."""
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        return {}
    pairs = (part.partition("=") for part in split_top_level(rest, ","))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
