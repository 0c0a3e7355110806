"""The doors' answers in words that a person can act on."""

from __future__ import annotations

from pathlib import Path

import grpc
import grpc.aio
import pytest
from onrecord.standalone import doors
from onrecord.standalone.errors import BadRequest, NotRunning, Refused, StandaloneError

LOG = Path("data/logs/retrieval.log")


def told(code: grpc.StatusCode, detail: str = "") -> StandaloneError:
    """What the command says to a status."""
    metadata = grpc.aio.Metadata()
    return doors._error(LOG, grpc.aio.AioRpcError(code, metadata, metadata, detail))


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_a_service_that_is_away_is_told_without_the_wire(code: grpc.StatusCode) -> None:
    """It comes back by itself: what to do, and where its log is; no text of gRPC's."""
    error = told(code, "failed to connect to all addresses; ipv4:127.0.0.1:7105")
    assert isinstance(error, NotRunning)
    assert str(error) == (
        f"retrieval does not answer: it may be restarting, try again; its log is {LOG}"
    )


def test_what_a_service_says_is_passed_on() -> None:
    """A wrong request and a refusal are told apart."""
    assert isinstance(told(grpc.StatusCode.NOT_FOUND, "there is no call"), BadRequest)
    assert isinstance(told(grpc.StatusCode.FAILED_PRECONDITION, "nothing is kept"), Refused)
