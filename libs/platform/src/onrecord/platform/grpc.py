"""gRPC doors and channels: plain on loopback, mutual TLS by settings, one table of errors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from onrecord.platform import errors
from onrecord.platform.settings import ServiceSettings
from onrecord.platform.telemetry import get_logger, in_call, meter
from opentelemetry.instrumentation.grpc import aio_client_interceptors, aio_server_interceptor

log = get_logger()
faults = meter().create_counter("onrecord_rpc_faults", description="requests that met a fault")

Context = grpc.aio.ServicerContext[Any, Any]
Decode = Callable[[bytes], Any]

STATUS_OF: dict[type[errors.PlatformError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Denied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Refused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Damaged: grpc.StatusCode.DATA_LOSS,
}

RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
"""Statuses after which the same request may succeed, or may have succeeded already."""

_CHANNEL_OPTIONS = [
    # A restarted peer is found again within a second, not after the default's minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20000),
    ("grpc.keepalive_timeout_ms", 5000),
]
_SERVER_OPTIONS = [
    # Two processes on one port would each take a part of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10000),
]


def channel(address: str, settings: ServiceSettings) -> grpc.aio.Channel:
    """A channel to `host:port`, traced; connects when first used and again whenever needed."""
    interceptors = aio_client_interceptors()
    if not settings.mutual_tls:
        return grpc.aio.insecure_channel(
            address, options=_CHANNEL_OPTIONS, interceptors=interceptors
        )
    ca, key, cert = _pem(settings)
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    return grpc.aio.secure_channel(
        address, credentials, options=_CHANNEL_OPTIONS, interceptors=interceptors
    )


def server(settings: ServiceSettings) -> grpc.aio.Server:
    """A server bound to `settings.grpc_listen`, not yet started. Raises OSError when taken."""
    made = grpc.aio.server(
        interceptors=[aio_server_interceptor(), ErrorMapping()], options=_SERVER_OPTIONS
    )
    try:
        if not settings.mutual_tls:
            port = made.add_insecure_port(settings.grpc_listen)
        else:
            ca, key, cert = _pem(settings)
            credentials = grpc.ssl_server_credentials(
                [(key, cert)], root_certificates=ca, require_client_auth=True
            )
            port = made.add_secure_port(settings.grpc_listen, credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {settings.grpc_listen}: {error}") from error
    if port == 0:
        raise OSError(f"cannot listen on {settings.grpc_listen}: is another process there?")
    return made


def _pem(settings: ServiceSettings) -> tuple[bytes, bytes, bytes]:
    """The CA's certificates, our key and our certificate. Raises OSError."""
    paths = (settings.tls_ca, settings.tls_key, settings.tls_cert)
    ca, key, cert = (path.read_bytes() for path in paths if path is not None)
    return ca, key, cert


class ErrorMapping(grpc.aio.ServerInterceptor):
    """Turns a PlatformError of a servicer into its status.

    Anything else is a fault of ours: INTERNAL to the caller, who is not told more, logged with its
    traceback and counted in `onrecord_rpc_faults` by method. While the servicer works, its logs and
    spans name the call that the request is about.
    """

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler's function."""
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None or handler.request_streaming:
            return handler
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _mapped_stream(handler.unary_stream, handler.request_deserializer, method),
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            _mapped_unary(handler.unary_unary, handler.request_deserializer, method),
            response_serializer=handler.response_serializer,
        )


def _mapped_unary(
    inner: Callable[..., Awaitable[Any]], decode: Decode, method: str
) -> Callable[..., Awaitable[Any]]:
    async def call(request: bytes, context: Context) -> Any:
        try:
            message = _decoded(request, decode)
            with in_call(_call_of(message)), _faults_told(method):
                return await inner(message, context)
        except errors.PlatformError as error:
            await _abort(context, error)

    return call


def _mapped_stream(
    inner: Callable[..., AsyncIterator[Any]], decode: Decode, method: str
) -> Callable[..., AsyncIterator[Any]]:
    async def call(request: bytes, context: Context) -> AsyncIterator[Any]:
        try:
            message = _decoded(request, decode)
            with in_call(_call_of(message)), _faults_told(method):
                async for response in inner(message, context):
                    yield response
        except errors.PlatformError as error:
            await _abort(context, error)

    return call


@contextlib.contextmanager
def _faults_told(method: str) -> Iterator[None]:
    """Log and count what nobody foresaw: grpc's own log of it is silenced, and says no call."""
    try:
        yield
    except (errors.PlatformError, grpc.aio.AbortError):
        raise
    except Exception as error:  # a supervisor: the process goes on, the request does not
        log.exception("rpc failed", method=method)
        faults.add(1, {"method": method})
        raise errors.PlatformError("internal_error", "the service's log says more") from error


def _call_of(message: Any) -> str:
    """The call that a request names itself; its caller may have told none beside it."""
    call = getattr(message, "call_id", "")
    return call if isinstance(call, str) and call.isalnum() else ""


def _decoded(request: bytes, decode: Decode) -> Any:
    """The message. grpc itself would answer bytes that are none with an internal error."""
    try:
        return decode(request)
    except DecodeError as error:
        raise errors.InvalidInput("malformed_message", str(error)) from error


async def _abort(context: Context, error: errors.PlatformError) -> None:
    status = STATUS_OF.get(type(error), grpc.StatusCode.INTERNAL)
    log.info("rpc refused", status=status.name, reason=error.reason)
    await context.abort(status, str(error), (("reason", error.reason),))


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The closed reason that the peer gave with its status, or else the status's name."""
    for key, value in error.trailing_metadata() or ():
        if key == "reason":
            return value if isinstance(value, str) else value.decode()
    return error.code().name.lower()
