"""What is known of a routes file before a start, and what is said when it changes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from onrecord.announcement.adapters.catalogue import load_prompts
from onrecord.announcement.settings import SHIPPED_PROMPTS
from onrecord.standalone.errors import BadRequest
from onrecord.standalone.routes import RoutesWatch, read_routes, routes_text, unrecordable

DAY = date(2026, 11, 23)


def reasons(folder: Path, line: str) -> list[str]:
    """What is said of the default routes with one more line in the recorded one."""
    path = folder / "routes.toml"
    path.write_text(routes_text().replace('line = "main"', f'line = "main"\n{line}\n#'))
    return unrecordable(read_routes(path), load_prompts(SHIPPED_PROMPTS), DAY)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", []),
        (
            'language = "cy-GB"',
            ["route 2.language: no approved prompt in cy-GB; there are en-GB"],
        ),
        (
            'purposes = ["disputes"]',
            ["route 2.purposes: no approved prompt names disputes"],
        ),
    ],
)
def test_a_route_that_no_call_can_satisfy_is_named(
    tmp_path: Path, line: str, said: list[str]
) -> None:
    """Which one, and what it asks for that no approved prompt says; once, for both parties."""
    assert reasons(tmp_path, line) == said


def test_a_change_is_told_once_with_whether_it_can_be_used(tmp_path: Path) -> None:
    """The routes are read at the start only; who edits them is not left in the dark."""
    path = tmp_path / "routes.toml"
    path.write_text(routes_text())
    watch = RoutesWatch(path)
    assert watch.news() == ""
    path.write_text(routes_text("127.0.0.1:5080"))
    assert "changed, the earlier routes hold: restart" in watch.news()
    assert watch.news() == ""
    path.write_text("[peers")
    assert "cannot be used, the earlier ones hold" in watch.news()
    path.unlink()
    assert "cannot be read" in watch.news()


def test_a_wrong_file_is_a_wrong_request(tmp_path: Path) -> None:
    """With the key and what to write instead."""
    path = tmp_path / "routes.toml"
    path.write_text(routes_text().replace('prefix = "9"', "prefix = 9"))
    with pytest.raises(BadRequest, match=r'route 1\.prefix: write it in quotes: "9"'):
        read_routes(path)
