"""Real servers for integration tests, each a process of its own on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ledgers import LedgerProcess
from pymongo import MongoClient
from servers import free_port, stop, wait_for_port


@dataclass(frozen=True)
class MongoServer:
    """A running MongoDB server and its URI."""

    uri: str
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def mongo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A MongoDB server that is there for the whole run, durable in every write."""
    folder = tmp_path_factory.mktemp("mongo")
    config = folder / "secantusd.toml"
    config.touch()  # Without a file of its own it looks for one in the home folder.
    port = free_port()
    process = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("secantusd-py")), "--config", str(config)),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--storage-path", str(folder / "data")),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        wait_for_port(port, process)
        yield MongoServer(f"mongodb://127.0.0.1:{port}/?w=majority&journal=true", process)
    finally:
        stop(process)


@pytest.fixture
def mongo(mongo_server: MongoServer) -> str:
    """The URI of a MongoDB server without any database of onrecord's."""
    with MongoClient[dict[str, Any]](mongo_server.uri) as client:
        for name in client.list_database_names():
            if name.startswith("onrecord"):
                client.drop_database(name)
    return mongo_server.uri


@pytest.fixture
def ports() -> Callable[[], int]:
    """Gives a free TCP port of the loopback interface with each call."""
    return free_port


@pytest.fixture
def launch(
    mongo: str, tmp_path: Path, ports: Callable[[], int]
) -> Iterator[Callable[..., LedgerProcess]]:
    """Starts ledgers on one empty database; they end with the test."""
    started: list[LedgerProcess] = []

    def start(**settings: str) -> LedgerProcess:
        ledger = LedgerProcess(tmp_path, ports(), ports(), mongo, **settings)
        started.append(ledger)
        ledger.start()
        return ledger

    yield start
    for ledger in started:
        ledger.stop()
