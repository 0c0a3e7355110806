"""Server processes on loopback, for the fixtures that start them."""

from __future__ import annotations

import socket
import subprocess
import time

START_SECONDS = 20.0
STOP_SECONDS = 10.0


def free_port() -> int:
    """A TCP port of the loopback interface that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the process accepts connections; fail with its exit code when it ends."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"{process.args} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)  # There is no event for another process's listening socket.
        else:
            return
    raise AssertionError(f"{process.args} does not listen on {port}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that a fixture started, and wait for it."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
