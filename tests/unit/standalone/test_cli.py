"""The command line: help, exit codes, errors that say what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from onrecord.standalone.cli import app
from typer.testing import CliRunner

RUNNER = CliRunner()
COMMANDS = ("up", "calls", "show", "play", "trace", "verify", "demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_json_and_exit_codes(command: str) -> None:
    """Each explains itself and offers output for programs."""
    shown = RUNNER.invoke(app, [command, "--help"], env={"COLUMNS": "120", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    assert "--json" in shown.output
    assert "Exit codes: 0 done" in shown.output


@pytest.mark.parametrize(
    "arguments",
    [["calls"], ["show", "c1"], ["play", "c1", "-o", "c1.wav"], ["trace", "c1"], ["verify"]],
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
