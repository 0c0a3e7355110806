"""A whole stack in one object: locked folder, keys, ports, processes, `endpoints.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from onrecord.announcement.adapters.catalogue import PromptFault, load_prompts
from onrecord.announcement.settings import SHIPPED_PROMPTS
from onrecord.platform.clock import utc_now
from onrecord.standalone.addresses import (
    Addresses,
    External,
    choose_addresses,
    endpoint_addresses,
)
from onrecord.standalone.certificates import ensure_certificates
from onrecord.standalone.endpoints import Endpoints
from onrecord.standalone.errors import BadRequest
from onrecord.standalone.folder import DataFolder, FolderLock
from onrecord.standalone.keys import ensure_keys
from onrecord.standalone.plan import MOVER_SOCKET, StackPlan
from onrecord.standalone.process import Report
from onrecord.standalone.routes import ensure_routes, read_routes, unrecordable
from onrecord.standalone.supervisor import Supervisor


@dataclass(frozen=True)
class StackOptions:
    """What the user may choose; `environment` is this process's own where not given."""

    data: Path
    routes: Path | None = None
    sip: tuple[str, int] | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class Stack:
    """Runs a stack from entering to leaving the context; used from the main thread only.

    Entering raises a `StandaloneError` that says what to do when something does not come up, and
    leaves nothing running then. `endpoints.json` is there exactly while everything is up.
    """

    def __init__(self, options: StackOptions, report: Report) -> None:
        """Nothing happens before the context is entered."""
        self._options = options
        self._report = report
        self.folder = DataFolder.at(options.data)
        self.routes = options.routes.absolute() if options.routes else self.folder.routes
        self._lock: FolderLock | None = None
        self._addresses: Addresses | None = None
        self._supervisor: Supervisor | None = None
        self._ready = False

    async def __aenter__(self) -> Stack:
        """Start everything; returns when all parts say that they are ready."""
        try:
            self._lock = FolderLock(self.folder)
            self.folder.endpoints.unlink(missing_ok=True)
            self._supervisor = self._compose(self._lock)
            await self._supervisor.start()
        except BaseException:
            self._release()
            raise
        self._ready = True
        self._write_endpoints()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drain and stop, in order."""
        self._ready = False
        self.folder.endpoints.unlink(missing_ok=True)
        try:
            if self._supervisor is not None:
                await self._supervisor.stop()
        finally:
            self._release()

    def hurry(self) -> None:
        """Kill what is left when stopping, instead of draining it."""
        if self._supervisor is not None:
            self._supervisor.fast.set()

    @property
    def endpoints(self) -> Endpoints:
        """Where to reach the parts. Only while the stack runs."""
        pids = self._supervisor.pids if self._supervisor else {}
        return Endpoints(endpoint_addresses(self._chosen()), self._chosen().objects, pids)

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process died and was started again, where it was."""
        return self._supervisor.restarts if self._supervisor else {}

    @property
    def mongo_uri(self) -> str:
        """The MongoDB URI with its options and, for a real server, its credentials."""
        return self._chosen().mongo

    def _chosen(self) -> Addresses:
        if self._addresses is None:
            raise RuntimeError("the stack was not entered")
        return self._addresses

    def _compose(self, lock: FolderLock) -> Supervisor:
        options = self._options
        external = External.from_environment(options.environment)
        self._read_routes()
        self._addresses = choose_addresses(self.folder, external, options.sip)
        stack = StackPlan(
            self.folder,
            self._addresses,
            external,
            ensure_keys(self.folder),
            ensure_certificates(self.folder, self._addresses.sip[0], datetime.now(UTC)),
            self.routes,
            options.environment,
            inherited=(lock.fd,),
        )
        # A left-over socket file would look like a mover that is up.
        (self.folder.root / MOVER_SOCKET).unlink(missing_ok=True)
        return Supervisor(stack.processes(), self._report, self._write_endpoints)

    def _read_routes(self) -> None:
        """Read the routes as signalling will, so that a mistake is told at once and alone."""
        if self._options.routes is None:
            ensure_routes(self.routes)
        elif not self.routes.is_file():
            raise BadRequest(f"there is no routes file {self.routes}")
        routes = read_routes(self.routes)
        folder = self._options.environment.get("ONRECORD_PROMPTS") or SHIPPED_PROMPTS
        try:
            prompts = load_prompts(Path(folder))
        except PromptFault as error:
            raise BadRequest(str(error)) from None
        for reason in unrecordable(routes, prompts, utc_now().date()):
            self._report(f"no call can be recorded by {self.routes}: {reason}")

    def _write_endpoints(self) -> None:
        if self._ready:
            self.endpoints.write(self.folder.endpoints)

    def _release(self) -> None:
        if self._addresses is not None:
            self._addresses.release()
        if self._lock is not None:
            self._lock.release()
