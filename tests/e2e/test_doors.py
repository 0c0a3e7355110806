"""Bad input at every gRPC door: a clear status, never an internal error, and it goes on."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from stack import RunningStack

SERVICES = ["signalling", "media-recorder", "announcement", "consent-ledger", "retrieval"]
DEADLINE = 8.0
ROUNDS = 25
ODD_TEXTS = ["", "x", "no-such-call", "call/x", "../../etc/passwd", "\x00", "é" * 300, "a" * 70_000]
ODD_NUMBERS = [0, 1, 7, 1000, 2**31, 2**32 - 1]
CLEAR = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}


def door_of(service: str) -> ServiceDescriptor:
    """The one door of a service."""
    package = service.replace("-", "_")
    module = importlib.import_module(f"onrecord.api.{package}.v1.{package}_pb2")
    (door,) = module.DESCRIPTOR.services_by_name.values()
    found: ServiceDescriptor = door
    return found


def fill(message: Message, source: random.Random, depth: int = 0) -> Message:
    """Put odd values into some of a message's fields."""
    for field in message.DESCRIPTOR.fields:
        if source.random() < 0.3:
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            if field.message_type.GetOptions().map_entry or depth > 3:
                continue
            if field.is_repeated:
                fill(getattr(message, field.name).add(), source, depth + 1)
            else:
                fill(getattr(message, field.name), source, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).append(odd_value(field, source))
        else:
            setattr(message, field.name, odd_value(field, source))
    return message


def odd_value(field: FieldDescriptor, source: random.Random) -> Any:
    """A value that the type allows and the service should not."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return source.choice(ODD_TEXTS)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return source.randbytes(source.choice([0, 1, 64, 5000]))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return source.random() < 0.5
    if field.type == FieldDescriptor.TYPE_ENUM:
        return source.choice([value.number for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_UINT64:
        return source.choice([*ODD_NUMBERS, 2**63, 2**64 - 1])
    return source.choice(ODD_NUMBERS)


def requests(method: MethodDescriptor, seed: int) -> Iterator[bytes]:
    """An empty request, odd ones, and bytes that are no message at all."""
    source = random.Random(seed)  # noqa: S311 - reproducible, not secret
    made = GetMessageClass(method.input_type)
    yield b""
    yield b"\xff" * 20
    for _ in range(ROUNDS):
        yield fill(made(), source).SerializeToString()


async def ask(channel: grpc.aio.Channel, method: MethodDescriptor, request: bytes) -> str:
    """The status of one request; a stream is read to its end or, if it stays open, let go."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.server_streaming:
            async for _ in channel.unary_stream(path)(request, timeout=1):
                pass
        else:
            await channel.unary_unary(path)(request, timeout=DEADLINE)
    except grpc.aio.AioRpcError as error:
        watching = method.server_streaming and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if watching or error.code() in CLEAR:
            return ""
        return f"{path} {request[:60]!r}: {error.code().name} {error.details()}"
    return ""


@pytest.mark.parametrize("service", SERVICES)
async def test_a_door_answers_anything_clearly(stack: RunningStack, service: str) -> None:
    """Whatever is sent, no request ends in an internal or unknown error or without an answer."""
    before = stack.pids()
    async with grpc.aio.insecure_channel(stack.endpoints[f"grpc.{service}"]) as channel:
        unclear = [
            found
            for number, method in enumerate(door_of(service).methods)
            for request in requests(method, number)
            if (found := await ask(channel, method, request))
        ]
    assert not unclear
    assert stack.pids() == before


@pytest.mark.parametrize("service", SERVICES)
async def test_a_message_beyond_the_limit_is_refused(stack: RunningStack, service: str) -> None:
    """Five megabytes are refused before they are read as a message."""
    async with grpc.aio.insecure_channel(stack.endpoints[f"grpc.{service}"]) as channel:
        method = door_of(service).methods[0]
        path = f"/{method.containing_service.full_name}/{method.name}"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(path)(bytes(5 << 20), timeout=DEADLINE)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
