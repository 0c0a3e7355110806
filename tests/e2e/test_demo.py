"""`onrecord demo`, as a new user would run it."""

from __future__ import annotations

import json
import subprocess
import wave
from pathlib import Path

from onrecord.standalone.checks import ANY_CALL, RECORDED_CALL, UNRECORDED_CALL
from stack import ONRECORD, show_logs


def test_the_demo_keeps_every_promise(tmp_path: Path) -> None:
    """One line of JSON: recorded, every check true, and a stereo file that can be listened to."""
    data = tmp_path / "demo"
    done = subprocess.run(
        [ONRECORD, "demo", "--json", "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    if done.returncode:
        print(done.stderr)
        show_logs(data)
    assert done.stdout.count("\n") == 1, done.stdout
    result = json.loads(done.stdout)
    assert result["verdict"] == "recorded"
    unrecorded = [f"unrecorded_{name}" for name in ANY_CALL | UNRECORDED_CALL]
    expected = [*ANY_CALL, *RECORDED_CALL, *unrecorded, "nothing_died"]
    assert result["checks"] == dict.fromkeys(expected, True)
    assert done.returncode == 0
    with wave.open(result["wav"]) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        assert file.getnframes() > 8000 * 10
    assert not (data / "endpoints.json").exists()
