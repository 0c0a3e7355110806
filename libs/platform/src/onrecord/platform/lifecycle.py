"""The life of a service process: settings, start, work, drain, stop."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc.aio
import uvloop
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from onrecord.platform import grpc as doors
from onrecord.platform import health, kafka, telemetry
from onrecord.platform.settings import ServiceSettings, load

log = telemetry.get_logger()

S = TypeVar("S", bound=ServiceSettings)
Door = tuple[Callable[[Any, Any], None], object, str]
"""`add_XServicer_to_server`, the servicer, and the full name of its service."""


async def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Service:
    """What a service consists of, as its composition root returns it.

    `tasks` run from start to stop; one that raises ends the process, which its supervisor starts
    again. `ready` lists why the service should not be given work. `stop` is awaited after the
    doors are closed and before the tasks are cancelled.
    """

    rpc: Sequence[Door] = ()
    subscriptions: Sequence[kafka.Subscription] = ()
    tasks: Sequence[Callable[[], Awaitable[None]]] = ()
    ready: Callable[[], list[str]] = list
    start: Callable[[], Awaitable[None]] = _nothing
    stop: Callable[[], Awaitable[None]] = _nothing


class Chassis:
    """What the process offers to a service while it is composed."""

    def __init__(self, name: str, settings: ServiceSettings) -> None:
        self.name = name
        self.draining = asyncio.Event()
        """Set at SIGTERM: take no new work."""
        self._settings = settings
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, address: str) -> grpc.aio.Channel:
        """A traced channel to `host:port`, shared by all who ask for it, closed at the end."""
        if address not in self._channels:
            self._channels[address] = doors.channel(address, self._settings)
        return self._channels[address]

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._channels.values():
            await channel.close()


Build = Callable[[S, Chassis], Service]


def serve(name: str, settings_class: type[S], build: Build[S]) -> None:
    """Run a service until SIGTERM or SIGINT.

    Exits 2 when a setting cannot be used, whether read by itself or by `build`; 1 when the service
    cannot go on.
    """
    settings = load(settings_class)
    telemetry.configure(name, settings.node, settings.spans)
    try:
        uvloop.run(_run(name, settings, build))
    # The last line of defence: say why, as one log line, and let the supervisor start it again.
    except Exception:
        log.exception("service failed")
        sys.exit(1)
    finally:
        telemetry.shutdown()


async def _run(name: str, settings: S, build: Build[S]) -> None:
    chassis = Chassis(name, settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        service = build(settings, chassis)
    except (ValueError, OSError) as error:
        # A file or a value that the operator has to mend: starting again does not help.
        log.error("settings cannot be used", why=str(error))
        raise SystemExit(2) from None
    started = False

    def reasons() -> list[str]:
        if stopping.is_set():
            return ["draining"]
        return service.ready() if started else ["starting"]

    side_door = health.server(settings.http_listen, reasons)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(side_door.serve(), name="http")]
        await service.start()
        server = await _open_doors(service, settings)
        running += [
            tasks.create_task(_forever(task), name=getattr(task, "__qualname__", repr(task)))
            for task in service.tasks
        ]
        running.append(
            tasks.create_task(kafka.consume(name, service.subscriptions, settings), name="kafka")
        )
        started = True
        log.info("started", grpc=settings.grpc_listen, http=settings.http_listen)
        await stopping.wait()
        chassis.draining.set()
        log.info("stopping")
        await server.stop(settings.drain_seconds)
        await service.stop()
        side_door.should_exit = True
        for task in running[1:]:
            task.cancel()
    await chassis.close()
    log.info("stopped")


async def _forever(task: Callable[[], Awaitable[None]]) -> None:
    await task()


async def _open_doors(service: Service, settings: ServiceSettings) -> grpc.aio.Server:
    server = doors.server(settings)
    health_servicer = grpc_health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    for add, servicer, full_name in service.rpc:
        add(servicer, server)
        await health_servicer.set(full_name, health_pb2.HealthCheckResponse.SERVING)
    await server.start()
    return server
