"""The table of RFC 6341's requirements: every line there, and every test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROWS = [
    [cell.strip() for cell in line.strip("|\n ").split("|")]
    for line in (ROOT / "docs" / "siprec.md").read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d{3} ", line)
]


def test_every_requirement_has_its_line() -> None:
    """All 31, in order; each shown by a test or with what is missing, none left out in silence."""
    assert [row[0] for row in ROWS] == [f"{number:03}" for number in range(1, 32)]
    assert all("".join(row[2:]) for row in ROWS)


def test_every_test_that_is_named_exists() -> None:
    """A test that is renamed or removed is noticed here."""
    named = {name for row in ROWS for name in re.findall(r"`(test_\w+)`", " ".join(row))}
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    missing = {name for name in named if not re.search(rf"def {name}\b", source)}
    assert not missing
