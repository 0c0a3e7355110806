"""How a person names a call: by its id, by the beginning of it, or as the last one."""

from __future__ import annotations

from collections.abc import Sequence

from onrecord.standalone.errors import BadRequest

LAST = "last"
ID_LENGTH = 32
"""Of a call's id: a UUID in hexadecimal digits."""

_SHOWN = 5


def is_whole(reference: str) -> bool:
    """Whether it can be nothing but an id, so that no list of calls is needed to find it."""
    return len(reference) >= ID_LENGTH


def call_named(reference: str, newest_first: Sequence[str]) -> str:
    """The id of the one call that is meant. Raises `BadRequest` for none or several."""
    if reference == LAST:
        if not newest_first:
            raise BadRequest("there is no call yet")
        return newest_first[0]
    found = [call for call in newest_first if call.startswith(reference)] if reference else []
    if reference in found or len(found) == 1:
        return reference if reference in found else found[0]
    if not found:
        raise BadRequest(
            f"no call begins with {reference!r}: `onrecord calls` lists them, `{LAST}` is the last"
        )
    shown = "\n".join(f"  {call}" for call in found[:_SHOWN])
    more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise BadRequest(f"{reference} begins {len(found)} calls:\n{shown}{more}")
