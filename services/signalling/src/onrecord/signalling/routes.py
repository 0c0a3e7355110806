"""The routes file: who may send us calls, where each dialled number goes, and under which rules.

TOML, read strictly: an unknown key is an error, because a misspelt `record` would change what is
kept. Emergency numbers are data here like everything else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from onrecord.policy.vocabulary import ACTS, METHODS, PURPOSES
from onrecord.sip.errors import SipError
from onrecord.sip.hop import Hop
from onrecord.sip.uri import SOS, SipUri

OnNoPermit = Literal["continue", "refuse"]
MAX_TARGETS = 8
SessionGate = Literal["memory", "inactive"]
WRITTEN = "written"

_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


class RoutesError(ValueError):
    """A routes file that cannot be used; the text names file, key and what to write instead."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where calls to numbers with this prefix go; `record` False passes them through untouched.

    `to` are the next hops in the order tried: the next one when the last is out of service.
    `name` is the line, or the prefix where no line is named: it stands in the call's facts.
    """

    prefix: str
    to: tuple[SipUri, ...]
    record: bool = True
    line: str = ""
    on_no_permit: OnNoPermit = "continue"
    purposes: tuple[str, ...] = ("training", "quality")
    language: str = "en-GB"
    business_unit: str = "default"

    @property
    def name(self) -> str:
        """What facts and logs call this route."""
        return self.line or f"prefix-{self.prefix or 'any'}"


@dataclass(frozen=True, slots=True)
class Emergency:
    """Numbers that connect whatever happens, and where to; so does `urn:service:sos`.

    Of that service the next hop gets to see the first number.
    """

    numbers: tuple[str, ...]
    prefixes: tuple[str, ...]
    to: tuple[SipUri, ...]

    def matches(self, dialled: str) -> bool:
        """Whether the whole dialled number is one of ours, after at most one prefix."""
        return dialled == SOS or any(
            dialled.startswith(prefix) and dialled[len(prefix) :] in self.numbers
            for prefix in ("", *self.prefixes)
        )


@dataclass(frozen=True, slots=True)
class StatedNotice:
    """A notice that is not given by us: what it says, to whom, and on whose word.

    A written one is published and counts for every session (grade D); of any other one of
    `systems` must say each time that it was given (grade C).
    """

    notice: str
    version: str
    parties: tuple[str, ...]
    method: str
    language: str
    acts: tuple[str, ...]
    purposes: tuple[str, ...]
    systems: tuple[str, ...] = ()

    @property
    def is_published(self) -> bool:
        """Whether it counts without anybody's word."""
        return self.method == WRITTEN


@dataclass(frozen=True, slots=True)
class SessionLine:
    """How recording sessions (RFC 7866) are taken; `line` and what follows it stand in the facts.

    `gate`: until the permit, `memory` takes the media and keeps none of it, `inactive` asks the
    client to send none (§7.2).
    """

    line: str = ""
    gate: SessionGate = "memory"
    purposes: tuple[str, ...] = ("training", "quality")
    language: str = "en-GB"
    business_unit: str = "default"
    notices: tuple[StatedNotice, ...] = ()

    @property
    def name(self) -> str:
        """What facts and logs call this route."""
        return self.line or "siprec"


@dataclass(frozen=True)
class Routes:
    """A whole routes file; `sessions` is None where no recording session is taken."""

    peers: frozenset[str]
    routes: tuple[Route, ...]
    emergency: Emergency
    sessions: SessionLine | None = None

    def find(self, dialled: str) -> Emergency | Route | None:
        """The emergency rule or the first matching route; None when the number goes nowhere."""
        if self.emergency.matches(dialled):
            return self.emergency
        return next((route for route in self.routes if dialled.startswith(route.prefix)), None)

    @cached_property
    def targets(self) -> tuple[SipUri, ...]:
        """Everywhere that calls are sent to."""
        lists = (*(route.to for route in self.routes), self.emergency.to)
        return tuple(target for targets in lists for target in targets)

    @cached_property
    def sources(self) -> frozenset[str]:
        """Every address and name that messages are taken from: peers, and where we send calls."""
        return self.peers | {Hop.to(target).host.lower() for target in self.targets}

    @cached_property
    def has_names(self) -> bool:
        """Whether somebody is known by a name, which a certificate must then show."""
        return any(not Hop("tls", source, 1).is_address for source in self.sources)


def load_routes(path: Path) -> Routes:
    """Read a routes file; raise `RoutesError` when it is missing or wrong."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RoutesError(
            f"{path}: cannot be read ({error}); set ONRECORD_ROUTES to a routes file"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise RoutesError(f"{path}: is not TOML: {error}") from None
    return _Reader(str(path)).routes(document)


class _Reader:
    """Reads one document; every fault names the file and the key."""

    def __init__(self, file: str) -> None:
        self._file = file

    def routes(self, document: Mapping[str, Any]) -> Routes:
        # First, because without its header its keys are unknown ones of the whole file.
        peers = self._table(document, "peers")
        self._known("", document, {"peers", "route", "emergency", "siprec"})
        tables = document.get("route")
        if not isinstance(tables, list) or not tables:
            raise self._fault("route", "write at least one [[route]]")
        return Routes(
            peers=self._peers(peers),
            routes=tuple(self._route(f"route {n}", table) for n, table in enumerate(tables, 1)),
            emergency=self._emergency(self._table(document, "emergency")),
            sessions=self._sessions(self._table(document, "siprec"))
            if "siprec" in document
            else None,
        )

    def _peers(self, table: Mapping[str, Any]) -> frozenset[str]:
        addresses: set[str] = set()
        for name in table:
            for address in self._texts(f"peers.{name}", table[name]):
                addresses.add(self._peer(f"peers.{name}", address))
        if not addresses:
            raise self._fault("peers", 'name who may call, such as trunk = ["192.0.2.10"]')
        return frozenset(addresses)

    def _route(self, key: str, table: object) -> Route:
        if not isinstance(table, dict):
            raise self._fault(key, "write it as [[route]]")
        self._known(
            key,
            table,
            {"prefix", "record", "to", "line", "notice", "on_no_permit"}
            | {"purposes", "language", "business_unit"},
        )
        self._choice(f"{key}.notice", table.get("notice", "on_answer"), ("on_answer",))
        record = table.get("record", True)
        if not isinstance(record, bool):
            raise self._fault(f"{key}.record", "write true or false")
        on_no_permit = table.get("on_no_permit", "continue")
        self._choice(f"{key}.on_no_permit", on_no_permit, ("continue", "refuse"))
        return Route(
            prefix=self._text(f"{key}.prefix", table.get("prefix")),
            to=self._targets(f"{key}.to", table.get("to")),
            record=record,
            line=self._text(f"{key}.line", table.get("line", "")),
            on_no_permit=on_no_permit,
            purposes=self._purposes(key, table),
            language=self._text(f"{key}.language", table.get("language", "en-GB")),
            business_unit=self._text(f"{key}.business_unit", table.get("business_unit", "default")),
        )

    def _sessions(self, table: Mapping[str, Any]) -> SessionLine:
        known = {"line", "gate", "purposes", "language", "business_unit", "notice"}
        self._known("siprec", table, known)
        gate = table.get("gate", "memory")
        self._choice("siprec.gate", gate, ("memory", "inactive"))
        notices = table.get("notice", [])
        if not isinstance(notices, list):
            raise self._fault("siprec.notice", "write it as [[siprec.notice]]")
        unit = table.get("business_unit", "default")
        sessions = SessionLine(
            line=self._text("siprec.line", table.get("line", "")),
            gate=gate,
            purposes=self._purposes("siprec", table),
            language=self._text("siprec.language", table.get("language", "en-GB")),
            business_unit=self._text("siprec.business_unit", unit),
            notices=tuple(
                self._notice(f"siprec.notice {n}", notice) for n, notice in enumerate(notices, 1)
            ),
        )
        for n, notice in enumerate(sessions.notices, 1):
            self._count(f"siprec.notice {n}", notice, sessions)
        return sessions

    def _count(self, key: str, notice: StatedNotice, sessions: SessionLine) -> None:
        """Refuse a notice that no permit of this line could ever rely on."""
        if notice.language.lower() != sessions.language.lower():
            raise self._fault(
                f"{key}.language",
                f"the line's is {sessions.language}: in another it does not count",
            )
        if missing := set(sessions.purposes) - set(notice.purposes):
            raise self._fault(
                f"{key}.purposes", f"name all of the line's, {', '.join(sorted(missing))} too"
            )

    def _notice(self, key: str, table: object) -> StatedNotice:
        """Read what is going to be evidence: nothing of it is assumed."""
        if not isinstance(table, dict):
            raise self._fault(key, "write it as [[siprec.notice]]")
        texts = ("notice", "version", "method", "language")
        lists = ("parties", "acts", "purposes")
        self._known(key, table, {*texts, *lists, "systems"})
        self._choice(f"{key}.method", table.get("method"), sorted(METHODS))
        notice = StatedNotice(
            **{name: self._text(f"{key}.{name}", table.get(name)) for name in texts},
            parties=self._some(f"{key}.parties", table.get("parties"), ("caller", "agent")),
            acts=self._some(f"{key}.acts", table.get("acts"), sorted(ACTS)),
            purposes=self._some(f"{key}.purposes", table.get("purposes"), sorted(PURPOSES)),
            systems=self._texts(f"{key}.systems", table.get("systems", [])),
        )
        if "" in (notice.notice, notice.version, notice.language, *notice.systems):
            raise self._fault(key, "notice, version, language and systems must not be empty")
        if notice.is_published == bool(notice.systems):
            raise self._fault(
                f"{key}.systems",
                "a written notice counts by itself and has none; for any other name those whose "
                "word counts",
            )
        return notice

    def _purposes(self, key: str, table: Mapping[str, Any]) -> tuple[str, ...]:
        purposes = table.get("purposes", ["training", "quality"])
        return self._some(f"{key}.purposes", purposes, sorted(PURPOSES))

    def _some(
        self, key: str, value: object, choices: list[str] | tuple[str, ...]
    ) -> tuple[str, ...]:
        found = self._texts(key, value)
        if not found:
            raise self._fault(key, f"write some of {', '.join(choices)}")
        for text in found:
            self._choice(key, text, choices)
        return found

    def _emergency(self, table: Mapping[str, Any]) -> Emergency:
        self._known("emergency", table, {"numbers", "prefixes", "to"})
        numbers = self._texts("emergency.numbers", table.get("numbers"))
        if not numbers or "" in numbers:
            raise self._fault("emergency.numbers", 'name them, such as ["999", "112", "18000"]')
        return Emergency(
            numbers=numbers,
            prefixes=self._texts("emergency.prefixes", table.get("prefixes", [""])),
            to=self._targets("emergency.to", table.get("to")),
        )

    def _table(self, document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        table = document.get(key)
        if not isinstance(table, dict):
            raise self._fault(key, f"there is no [{key}]")
        return table

    def _known(self, key: str, table: Mapping[str, Any], known: set[str]) -> None:
        for name in table:
            if name not in known:
                place = f"{key}.{name}" if key else name
                raise self._fault(place, f"unknown key; known are {', '.join(sorted(known))}")

    def _text(self, key: str, value: object) -> str:
        if value is None:
            raise self._fault(key, "is missing")
        if isinstance(value, int | float):
            raise self._fault(key, f'write it in quotes: "{value}"')
        if not isinstance(value, str) or len(value) > 64:
            raise self._fault(key, "write a text of at most 64 characters in quotes")
        return value

    def _texts(self, key: str, value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self._fault(key, 'write a list of texts, such as ["a", "b"]')
        return tuple(self._text(key, item) for item in value)

    def _choice(self, key: str, value: object, choices: list[str] | tuple[str, ...]) -> None:
        if value not in choices:
            raise self._fault(key, f"write one of {', '.join(choices)}")

    def _targets(self, key: str, value: object) -> tuple[SipUri, ...]:
        """One next hop, or a list of them."""
        if not isinstance(value, list):
            return (self._uri(key, value),)
        if not 1 <= len(value) <= MAX_TARGETS:
            raise self._fault(key, f"name one to {MAX_TARGETS} next hops")
        return tuple(self._uri(key, item) for item in value)

    def _uri(self, key: str, value: object) -> SipUri:
        try:
            uri = SipUri.parse(self._text(key, value))
        except SipError as fault:
            raise self._fault(key, f"{fault.detail}; write sip:HOST:PORT") from None
        if uri.scheme not in ("sip", "sips"):
            raise self._fault(key, "write sip:HOST:PORT")
        if not Hop.to(uri).is_address:
            self._peer(key, uri.host)
        return uri

    def _peer(self, key: str, value: str) -> str:
        """An address as sockets write it, or a name as certificates do."""
        try:
            return str(ip_address(value.strip("[]")))
        except ValueError:
            if _NAME.fullmatch(value) and not value.rpartition(".")[2].isdigit():
                return value.lower()
        raise self._fault(key, "write an IP address or a name")

    def _fault(self, key: str, what_to_do: str) -> RoutesError:
        return RoutesError(f"{self._file}: {key}: {what_to_do}")
