"""The doors that the `onrecord` command uses: found by the data folder, errors worded."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as ledger_pb
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as ledger_rpc
from onrecord.api.retrieval.v1 import retrieval_pb2 as pb
from onrecord.api.retrieval.v1 import retrieval_pb2_grpc as rpc
from onrecord.contracts.entry import Entry
from onrecord.platform.grpc import channel
from onrecord.platform.settings import ServiceSettings
from onrecord.standalone.endpoints import read_endpoints
from onrecord.standalone.errors import BadRequest, NotRunning, Refused, StandaloneError
from onrecord.standalone.folder import DataFolder
from onrecord.standalone.naming import call_named, is_whole

REPLY_SECONDS = 10.0
AUDIO_SECONDS = 300.0
INDEX_SECONDS = 30.0
_POLL_SECONDS = 0.1
SEARCHED = 500
"""Calls among which one is looked for by the beginning of its id: as many as a page may have."""
_GONE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


@dataclass(frozen=True)
class Listener:
    """Who asks for audio, and what for."""

    person: str
    purpose: str
    role: str = "supervisor"


class RetrievalDoor:
    """The calls of a stack. Every method raises a `StandaloneError` that says what to do."""

    def __init__(self, stub: rpc.RetrievalAsyncStub, log: Path) -> None:
        """`log` is where retrieval writes what troubles it."""
        self._stub = stub
        self._log = log

    async def id_of(self, reference: str) -> str:
        """The id of the call that a person names. Ids rise with time: the newest are enough."""
        if is_whole(reference):
            return reference
        return call_named(reference, [call.call_id for call in await self.search("", SEARCHED)])

    async def search(self, verdict: str, limit: int) -> list[pb.CallSummary]:
        """The newest calls, at most `limit`, of one verdict or of all."""
        with _in_words(self._log):
            request = pb.SearchRequest(verdict=verdict, page_size=limit)
            reply = await self._stub.Search(request, timeout=REPLY_SECONDS)
        return list(reply.calls)

    async def with_verdict(self, call: str) -> pb.CallSummary:
        """Wait until retrieval, which follows Kafka, shows the verdict. Raises TimeoutError."""
        async with asyncio.timeout(INDEX_SECONDS):
            while True:
                for found in await self.search("", SEARCHED):
                    if found.call_id == call and found.verdict:
                        return found
                await asyncio.sleep(_POLL_SECONDS)

    async def get(self, call: str) -> pb.GetResponse:
        """One call with its timeline."""
        with _in_words(self._log):
            request = pb.GetRequest(call_id=call)
            reply: pb.GetResponse = await self._stub.Get(request, timeout=REPLY_SECONDS)
        return reply

    async def audio(self, call: str, listener: Listener) -> AsyncIterator[bytes]:
        """The call's WAV in pieces; that this person has it is on record before the first."""
        request = pb.StreamAudioRequest(
            call_id=call,
            purpose=listener.purpose,
            person=listener.person,
            role=listener.role,
            request_id=secrets.token_hex(16),
        )
        with _in_words(self._log):
            async for piece in self._stub.StreamAudio(request, timeout=AUDIO_SECONDS):
                yield piece.data


@asynccontextmanager
async def retrieval(data: Path) -> AsyncIterator[RetrievalDoor]:
    """The door of the stack that runs on this data folder. Raises `NotRunning` without one."""
    address = read_endpoints(data)["grpc.retrieval"]
    async with channel(address, ServiceSettings()) as opened:
        yield RetrievalDoor(rpc.RetrievalStub(opened), _log_of("retrieval", data))


async def entries_of(data: Path, call: str) -> list[Entry]:
    """What the ledger of the stack on this data folder has of a call: its facts, then accesses.

    Raises a `StandaloneError`.
    """
    address = read_endpoints(data)["grpc.consent-ledger"]
    async with channel(address, ServiceSettings()) as opened:
        stub: ledger_rpc.LedgerAsyncStub = ledger_rpc.LedgerStub(opened)
        with _in_words(_log_of("consent-ledger", data)):
            return [
                Entry.from_canonical(found.canonical, {}, found.traceparent)
                for stream in (f"call/{call}", f"recording/{call}")
                async for found in stub.Read(
                    ledger_pb.ReadRequest(stream=stream), timeout=REPLY_SECONDS
                )
            ]


@contextmanager
def _in_words(log: Path) -> Iterator[None]:
    """Turn the gRPC status of the service with this log into an error that a person can act on."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _error(log, error) from error


def _log_of(service: str, data: Path) -> Path:
    return DataFolder(data.expanduser().absolute()).log(service)


def _error(log: Path, error: grpc.aio.AioRpcError) -> StandaloneError:
    detail = error.details() or error.code().name.lower()
    if error.code() in _GONE:
        return NotRunning(
            f"{log.stem} does not answer: it may be restarting, try again; its log is {log}"
        )
    if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
        return BadRequest(detail)
    return Refused(detail)
