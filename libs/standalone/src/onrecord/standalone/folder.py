"""The data folder of one stack: where everything lies, and the lock that keeps a second one out."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from onrecord.standalone.errors import BadRequest, FolderInUse

PRIVATE = 0o700
"""The mode of a folder that only its owner may look into."""

LEFTOVER_SECONDS = 5.0
"""How long a start waits for the processes of a crashed stack to be gone."""


@dataclass(frozen=True)
class DataFolder:
    """Names of the files and folders below one data folder; nothing is created by asking."""

    root: Path

    @classmethod
    def at(cls, path: Path) -> DataFolder:
        """The folder at `path`, made with the folders of a stack, each for its owner alone.

        A folder that is there already keeps its own mode. Raises `BadRequest` when it cannot be.
        """
        folder = cls(path.expanduser().absolute())
        parts = (folder.logs, folder.keys, folder.objects, folder.spool, folder.spans, folder.mongo)
        try:
            folder.root.mkdir(PRIVATE, parents=True, exist_ok=True)
            for part in (*parts, folder.root / "services"):
                part.mkdir(exist_ok=True)
                part.chmod(PRIVATE)
        except FileExistsError as error:
            raise BadRequest(
                f"{path} cannot be the data folder: {error.filename} is a file"
            ) from None
        except OSError as error:
            raise BadRequest(
                f"{path} cannot be the data folder: {error.filename}: {error.strerror}"
            ) from None
        return folder

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        """The permit key pair and the journal key."""
        return self.root / "keys"

    @property
    def routes(self) -> Path:
        """The routes file used where none is given."""
        return self.root / "routes.toml"

    @property
    def endpoints(self) -> Path:
        """The addresses of a running stack; absent while none runs."""
        return self.root / "endpoints.json"

    @property
    def objects(self) -> Path:
        """The embedded object store."""
        return self.root / "objects"

    @property
    def spool(self) -> Path:
        """Audio on its way to the object store."""
        return self.root / "spool"

    @property
    def spans(self) -> Path:
        """Ended spans as JSON lines, a file for each service."""
        return self.root / "spans"

    @property
    def mongo(self) -> Path:
        """The embedded MongoDB-wire server's files."""
        return self.root / "mongo"

    def of_service(self, name: str) -> Path:
        """A service's own folder, made if need be."""
        path = self.root / "services" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def log(self, process: str) -> Path:
        """The log of a process by its name."""
        return self.logs / f"{process}.log"


def write_secret(path: Path, content: bytes) -> None:
    """Put a file in place whole, on the disk, readable by its owner only."""
    new = path.with_name(f"{path.name}.new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


class FolderLock:
    """Exclusive use of a data folder, held by the supervisor and, by inheritance, its processes.

    So a start after a crash waits until the last left-over process is gone, and a start beside a
    running stack fails with `FolderInUse`, which names the supervisor.
    """

    def __init__(self, folder: DataFolder) -> None:
        """Take the lock; blocks at most `LEFTOVER_SECONDS`."""
        self._path = folder.root / "lock"
        try:
            self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BadRequest(
                f"{folder.root} cannot be the data folder: {self._path.name}: {error.strerror}"
            ) from None
        try:
            self._take(time.monotonic() + LEFTOVER_SECONDS)
        except BaseException:
            os.close(self.fd)
            raise
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Give the folder back."""
        os.close(self.fd)

    def _take(self, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(self.fd, 32, 0).decode(errors="replace")
                if _alive(holder) or time.monotonic() > deadline:
                    raise FolderInUse(
                        f"a stack already runs on {self._path.parent} (process {holder}): stop it, "
                        "or give another folder with --data"
                    ) from None
                time.sleep(0.05)
            else:
                return


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def is_in_use(folder: DataFolder) -> bool:
    """Whether a stack holds the folder: its supervisor, or a process that outlives it a moment."""
    try:
        with (folder.root / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
