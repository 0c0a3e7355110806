"""`endpoints.json`: where a running stack is reached, by people, tests and the other commands."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onrecord.standalone.errors import NotRunning
from onrecord.standalone.folder import DataFolder, is_in_use


@dataclass(frozen=True)
class Endpoints:
    """The addresses by their flat keys (`sip_udp`, `grpc.retrieval`, ...) as `host:port`.

    `objects` is a path or URL; `pids` gives the number of each process that the stack started.
    """

    addresses: dict[str, str]
    objects: str
    pids: dict[str, int]

    def __getitem__(self, key: str) -> str:
        """The address under a key. Raises KeyError."""
        return self.addresses[key]

    def document(self) -> dict[str, Any]:
        """The content of the file."""
        return {**self.addresses, "objects": self.objects, "pids": self.pids}

    def write(self, path: Path) -> None:
        """Put the file in place whole: a reader sees the old one or the new one."""
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(self.document(), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def read_endpoints(folder: Path) -> Endpoints:
    """Where the stack on this data folder can be reached; raises `NotRunning` if none runs."""
    place = DataFolder(folder.expanduser().absolute())
    try:
        found = json.loads(place.endpoints.read_text(encoding="utf-8"))
        if not is_in_use(place):
            # Its supervisor was killed: the file is left over.
            raise FileNotFoundError(place.endpoints)
    except (OSError, ValueError):
        raise NotRunning(
            f"no stack runs on {folder}: start one with `onrecord up --data {folder}`"
        ) from None
    objects, pids = found.pop("objects", ""), found.pop("pids", {})
    return Endpoints(found, objects, pids)
