"""The HTTP side door of a service: /livez, /readyz and /metrics.

Liveness says that the event loop turns; it never depends on another system. Readiness names every
reason why the service should not be given work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


def application(reasons: Callable[[], list[str]]) -> Starlette:
    """The three pages; `reasons` lists why the service is not ready, empty when it is."""

    def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    def readyz(_request: Request) -> Response:
        found = reasons()
        return JSONResponse(
            {"ready": not found, "reasons": found}, status_code=503 if found else 200
        )

    def metrics(_request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
    )


class Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not take SIGTERM and SIGINT: the lifecycle handles them."""
        yield


def server(listen: str, reasons: Callable[[], list[str]]) -> Server:
    """A server of the three pages on `host:port`; run it with `await server.serve()`."""
    host, _, port = listen.rpartition(":")
    return Server(
        uvicorn.Config(
            application(reasons), host=host, port=int(port), log_config=None, lifespan="off"
        )
    )
