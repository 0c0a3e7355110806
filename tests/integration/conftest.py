"""Real servers for the integration tests, each started once for all of them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

START_MS = 30_000
STOP_SECONDS = 20


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of an empty SecantusDB, which speaks MongoDB's protocol."""
    folder = tmp_path_factory.mktemp("mongo")
    config = folder / "secantusd.toml"
    config.touch()  # Without a file of its own it would look for one in other folders.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(str(Path(sys.executable).with_name("secantusd-py")), "--config", str(config)),
        *("--host", "127.0.0.1", "--port", str(port), "--storage-path", str(folder / "data")),
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        uri = f"mongodb://127.0.0.1:{port}/?w=majority&journal=true"
        with MongoClient(uri, serverSelectionTimeoutMS=START_MS) as client:
            client.admin.command("ping")
        yield uri
    finally:
        server.terminate()
        server.wait(STOP_SECONDS)
