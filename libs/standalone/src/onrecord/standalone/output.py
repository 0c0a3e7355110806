"""Files that a command writes for the person who asked: theirs alone, whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from onrecord.standalone.errors import BadRequest


@contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, readable by its owner only; it takes its place when the context ends.

    An error inside leaves what was there before. A device or pipe is written directly. Raises
    `BadRequest` when there can be no such file, before anything else is done.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                yield file
            return
        # It has mode 0600, and stands where it can be moved to its place in one step.
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                yield file
                file.flush()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror or error}") from None
