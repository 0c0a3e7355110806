"""The command line: help, exit codes, errors that say what to do."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from onrecord.standalone.cli import app
from onrecord.standalone.routes import routes_text
from typer.testing import CliRunner

RUNNER = CliRunner()
COMMANDS = ("up", "call", "calls", "show", "play", "trace", "verify", "demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_json_and_exit_codes(command: str) -> None:
    """Each explains itself and offers output for programs."""
    shown = RUNNER.invoke(app, [command, "--help"], env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    assert "--json" in shown.output
    assert "Exit codes: 0 done" in shown.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["call"],
        ["calls"],
        ["show", "last"],
        ["play", "last", "-o", "c1.wav"],
        ["trace", "last"],
        ["verify"],
    ],
)
def test_without_a_stack_the_command_says_how_to_start_one(
    tmp_path: Path, arguments: list[str]
) -> None:
    """Exit code 3, one JSON line with the reason, the way out in the text."""
    done = RUNNER.invoke(app, [*arguments, "--data", str(tmp_path), "--json"])
    assert done.exit_code == 3
    document = json.loads(done.stdout)
    assert document["error"] == "not_running"
    assert "onrecord up" in document["message"]


def test_it_says_which_version_it_is() -> None:
    """The first thing that a report of a fault needs."""
    done = RUNNER.invoke(app, ["--version"])
    assert (done.exit_code, done.output) == (0, f"onrecord {metadata.version('onrecord')}\n")


@pytest.mark.parametrize("sip", ["5060", "host:", ":5060", "host:99999", "host:x"])
def test_a_bad_address_is_a_wrong_request(tmp_path: Path, sip: str) -> None:
    """Exit code 2 and the option's name."""
    done = RUNNER.invoke(app, ["up", "--data", str(tmp_path), "--sip", sip])
    assert done.exit_code == 2
    assert "--sip" in done.output


def test_a_missing_routes_file_is_a_wrong_request(tmp_path: Path) -> None:
    """Nothing is started for it."""
    done = RUNNER.invoke(app, ["up", "--data", str(tmp_path), "--routes", "nowhere.toml"])
    assert done.exit_code == 2
    assert "there is no routes file" in done.output


def test_a_mistake_in_the_routes_is_told_in_one_line(tmp_path: Path) -> None:
    """Before anything is started: file, key and what to write."""
    path = tmp_path / "routes.toml"
    path.write_text(routes_text().replace('prefix = "9"', "prefix = 9"))
    done = RUNNER.invoke(app, ["up", "--data", str(tmp_path / "data"), "--routes", str(path)])
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        f'onrecord: {path}: route 1.prefix: write it in quotes: "9"'
    )


def test_a_data_folder_that_cannot_be_is_told_in_one_line(tmp_path: Path) -> None:
    """No traceback for an ordinary mistake."""
    (tmp_path / "file").write_text("")
    done = RUNNER.invoke(app, ["up", "--data", str(tmp_path / "file" / "data")])
    assert done.exit_code == 2
    assert "cannot be the data folder" in done.stderr
