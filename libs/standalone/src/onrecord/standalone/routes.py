"""The routes file that a new data folder gets; the format is signalling's."""

from __future__ import annotations

from pathlib import Path

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
