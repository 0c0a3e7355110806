"""A fault of ours behind a gRPC door is seen by the operator, and its words by nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2_grpc as rpc
from onrecord.platform import grpc as doors
from onrecord.platform.settings import ServiceSettings
from onrecord.platform.telemetry import CALL_ID
from opentelemetry import baggage

NUMBER = "+44 20 7946 0001"


class Faulty(rpc.MediaServicer):
    """A door whose every request meets a fault that nobody foresaw."""

    async def Close(self, request: Any, context: Any) -> pb.CloseResponse:  # noqa: N802
        """Fail before the answer."""
        raise KeyError(NUMBER)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[pb.WatchResponse]:  # noqa: N802
        """Fail within the answers."""
        yield pb.WatchResponse()
        raise KeyError(NUMBER)


@pytest.fixture
async def media() -> AsyncIterator[rpc.MediaAsyncStub]:
    """The door, served as the chassis serves it."""
    server = grpc.aio.server(interceptors=[doors.ErrorMapping()])
    rpc.add_MediaServicer_to_server(Faulty(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with doors.channel(f"127.0.0.1:{port}", ServiceSettings()) as channel:
        yield rpc.MediaStub(channel)
    await server.stop(0)


async def ask(media: rpc.MediaAsyncStub, method: str) -> None:
    """Make a request of the method, and read all of its answer."""
    if method == "Close":
        await media.Close(pb.CloseRequest(call_id="c1"), timeout=5)
        return
    async for _ in media.Watch(pb.WatchRequest(call_id="c1"), timeout=5):
        pass


@pytest.mark.parametrize("method", ["Close", "Watch"])
async def test_an_unforeseen_error_is_logged_with_its_call_and_counted(
    media: rpc.MediaAsyncStub, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has the traceback and the call, the metric the method; the caller a reason only."""
    counted: list[tuple[str, str]] = []

    class Failed:
        """In the counter's place."""

        def add(self, count: int, labels: dict[str, str]) -> None:
            """Take down the label, and the call that is being worked for."""
            counted.append((labels["method"], str(baggage.get_baggage(CALL_ID))))

    monkeypatch.setattr(doors, "faults", Failed())
    with structlog.testing.capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as failure:
        await ask(media, method)
    assert failure.value.code() == grpc.StatusCode.INTERNAL
    assert doors.reason_of(failure.value) == "internal_error"
    assert NUMBER not in str(failure.value.details())
    path = f"/onrecord.api.media_recorder.v1.Media/{method}"
    assert counted == [(path, "c1")]
    (told,) = [line for line in logs if line["event"] == "rpc failed"]
    assert (told["method"], told["exc_info"]) == (path, True)
