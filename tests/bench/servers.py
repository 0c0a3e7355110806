"""The two B2BUAs that are compared, each as a process of its own on one core."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.sipp import LOOPBACK
from integration.signalling_stand import free_port

START_SECONDS = 30.0
_POLL_SECONDS = 0.05
_PAGE = os.sysconf("SC_PAGE_SIZE")

ROUTES = """\
[peers]
trunk = ["127.0.0.1"]

[[route]]
prefix = ""
record = false
to = "sip:127.0.0.1:{agent}"

[emergency]
numbers = ["999", "112", "18000"]
prefixes = ["", "9"]
to = "sip:127.0.0.1:{agent}"
"""


@dataclass(frozen=True)
class Server:
    """A running B2BUA: its SIP address, its process."""

    address: tuple[str, int]
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self.process.pid

    def resident_bytes(self) -> int:
        """The memory that the process holds now."""
        pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * _PAGE


@contextlib.contextmanager
def onrecord(agent: int, folder: Path, core: int | None) -> Iterator[Server]:
    """Run signalling alone: facts stay in its journal, for there is no ledger."""
    folder.mkdir(parents=True, exist_ok=True)
    routes, key = folder / "routes.toml", folder / "key"
    routes.write_text(ROUTES.format(agent=agent), encoding="utf-8")
    key.write_text(os.urandom(32).hex(), encoding="ascii")
    port, http = free_port(), free_port()
    nobody = f"{LOOPBACK}:9"
    settings = {
        "node": "signalling-bench",
        "data": folder / "data",
        "http_listen": f"{LOOPBACK}:{http}",
        "sip_listen": f"{LOOPBACK}:{port}",
        "routes": routes,
        "journal_key": key,
        "ledger": nobody,
        "media": nobody,
        "announcement": nobody,
    }
    environment = {f"ONRECORD_{name.upper()}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-m", "onrecord.signalling"]
    with _process(command, environment, folder / "onrecord.log", core) as process:
        _until_ready(f"http://{LOOPBACK}:{http}/readyz", process)
        yield Server((LOOPBACK, port), process)


@contextlib.contextmanager
def sippy(agent: int, folder: Path, core: int | None) -> Iterator[Server]:
    """Run sippy's `b2bua_simple` without its log, which it would write for each message."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        str(Path(sys.executable).parent / "b2bua_simple"),
        "-f", "-l", LOOPBACK, "-p", str(port), "-n", f"{LOOPBACK}:{agent}",
    ]  # fmt: skip
    quiet = {"SIPLOG_BEND": "none", "SIPLOG_LVL": "CRIT"}
    with _process(command, quiet, folder / "sippy.log", core) as process:
        _until_bound(port, process)
        yield Server((LOOPBACK, port), process)


@contextlib.contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], log: Path, core: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | dict(environment)
        )
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in _attempts(process):
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(url, timeout=1.0) as answer,  # noqa: S310 - our own
        ):
            if answer.status == 200:
                return


def _until_bound(port: int, process: subprocess.Popen[bytes]) -> None:
    bound = f"{port:04X} "
    for _ in _attempts(process):
        if bound in Path("/proc/net/udp").read_text(encoding="ascii"):
            return


def _attempts(process: subprocess.Popen[bytes]) -> Iterator[None]:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the server does not start")
        yield
        time.sleep(_POLL_SECONDS)
    raise RuntimeError(f"the server ended with {process.returncode}; see its log")
