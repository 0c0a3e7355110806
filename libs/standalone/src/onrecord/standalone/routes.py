"""The routes file: the one that a new data folder gets, and what is known of one before a start.

The format is signalling's, the prompts are announcement's; whether they go together only who runs
both can say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import cast

from onrecord.announcement.domain.plan import NoPrompt, Obligation, plan
from onrecord.announcement.domain.prompt import Prompt
from onrecord.contracts.events import Act, Party, Purpose
from onrecord.policy import CallFacts, decide, default_pack
from onrecord.signalling.routes import Route, Routes, RoutesError, load_routes
from onrecord.standalone.errors import BadRequest

DEFAULT_AGENT = "127.0.0.1:5070"

_TEMPLATE = """\
[peers]                      # who may send us SIP, by source
trunk = ["127.0.0.1"]

[[route]]                    # first match on the dialled number wins
prefix = "9"                 # dial 9...: calls that are not recorded
record = false
to = "sip:{agent}"

[[route]]
prefix = ""
to = "sip:{agent}"    # the PBX or agent
line = "main"                # the line whose policy applies
notice = "on_answer"
on_no_permit = "{on_no_permit}"    # or "refuse": what the call does when recording may not start

[emergency]
numbers = ["999", "112", "18000"]  # the whole dialled number, after at most one of:
prefixes = ["", "9"]          # outside-line digits; matched before any route
to = "sip:{agent}"
"""


def routes_text(agent: str = DEFAULT_AGENT, on_no_permit: str = "continue") -> str:
    """A routes file that sends every call to the agent at `host:port`."""
    return _TEMPLATE.format(agent=agent, on_no_permit=on_no_permit)


def ensure_routes(path: Path) -> None:
    """Write the default routes file unless there is one."""
    if not path.exists():
        path.write_text(routes_text(), encoding="utf-8")


def read_routes(path: Path) -> Routes:
    """The routes of a file. Raises `BadRequest` with file, key and what to write instead."""
    try:
        return load_routes(path)
    except RoutesError as error:
        raise BadRequest(str(error)) from None


def unrecordable(routes: Routes, prompts: Sequence[Prompt], day: date) -> list[str]:
    """The recorded routes of which no call can be recorded, each with the reason.

    Such a route is not wrong: its calls connect, or are refused, as it says. But nobody should be
    surprised by it.
    """
    return [
        f"route {number}.{reason}"
        for number, route in enumerate(routes.routes, 1)
        if route.record
        for reason in dict.fromkeys(_reasons(route, prompts, day))
    ]


def _reasons(route: Route, prompts: Sequence[Prompt], day: date) -> Iterator[str]:
    facts = CallFacts(("caller", "agent"), route.purposes, route.language, day)
    decision = decide(facts, default_pack())
    if not decision.may_record:
        yield f"purposes: rule {decision.refused_by} does not allow them all"
    for owed in decision.obligations:
        wanted = Obligation(
            party=cast("Party", owed.party),
            leg=cast("Party", owed.party),
            method=owed.method,
            language=owed.language,
            acts=frozenset(cast("Sequence[Act]", owed.acts)),
            purposes=frozenset(cast("Sequence[Purpose]", owed.purposes)),
        )
        found = plan(wanted, prompts)
        if isinstance(found, NoPrompt):
            yield _in_words(found.reason, route, prompts)


def _in_words(reason: str, route: Route, prompts: Sequence[Prompt]) -> str:
    if reason == "no_prompt_in_language":
        languages = ", ".join(sorted({prompt.language for prompt in prompts}))
        return f"language: no approved prompt in {route.language}; there are {languages}"
    if reason == "no_prompt_names_purposes":
        return f"purposes: no approved prompt names {', '.join(route.purposes)}"
    return f"notice: no approved prompt serves it ({reason})"


class RoutesWatch:
    """Notices that a routes file changes after it was read."""

    def __init__(self, path: Path) -> None:
        """Take the file as it is now for the one that was read."""
        self._path = path
        self._known = _stamp(path)

    def news(self) -> str:
        """That it changed since the last look, and whether it can be used; empty if it did not."""
        found = _stamp(self._path)
        if found == self._known:
            return ""
        self._known = found
        try:
            read_routes(self._path)
        except BadRequest as error:
            return f"the routes changed and cannot be used, the earlier ones hold: {error}"
        return f"{self._path} changed, the earlier routes hold: restart `up` to use it"


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
