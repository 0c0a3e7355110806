"""Objects in S3: conditional create, checksum on the wire and at rest."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from onrecord.platform.errors import NotFound, Unavailable
from onrecord.platform.objects.port import ObjectExists, check_key

# The client's own retries hide an outage for minutes; the caller retries by its own deadline.
_CONFIG = AioConfig(
    signature_version="s3v4",
    connect_timeout=3,
    read_timeout=20,
    retries={"total_max_attempts": 1},
    s3={"addressing_style": "path"},
)


class S3Store:
    """An `ObjectStore` in one bucket; the server must support `If-None-Match: *`."""

    def __init__(self, bucket: str, endpoint: str | None, region: str) -> None:
        self._bucket = bucket
        self._endpoint = endpoint
        self._region = region
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None

    @classmethod
    def from_url(cls, url: str) -> S3Store:
        """Read `s3://bucket?endpoint=…&region=…`. Raises ValueError without a bucket."""
        parts = urlsplit(url)
        if not parts.netloc:
            raise ValueError(f"object store {url!r} names no bucket")
        query = parse_qs(parts.query)
        return cls(
            parts.netloc,
            query.get("endpoint", [None])[0],
            query.get("region", ["us-east-1"])[0],
        )

    async def put_new(self, key: str, body: bytes, sha256: str) -> None:
        """Put with `If-None-Match: *` and the checksum; 412 means that somebody was first."""
        async with self._call() as client:
            await client.put_object(
                Bucket=self._bucket,
                Key=check_key(key),
                Body=body,
                IfNoneMatch="*",
                ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
            )

    async def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read a range."""
        if length == 0:
            return b""
        end = "" if length is None else str(start + length - 1)
        arguments = {"Range": f"bytes={start}-{end}"} if start or end else {}
        async with self._call() as client:
            reply = await client.get_object(Bucket=self._bucket, Key=check_key(key), **arguments)
            async with reply["Body"] as stream:
                return bytes(await stream.read())

    async def sha256(self, key: str) -> str | None:
        """The checksum that the server keeps; the bytes are read where it keeps none."""
        try:
            async with self._call() as client:
                reply = await client.head_object(
                    Bucket=self._bucket, Key=check_key(key), ChecksumMode="ENABLED"
                )
        except NotFound:
            return None
        if stored := reply.get("ChecksumSHA256"):
            return base64.b64decode(stored).hex()
        return hashlib.sha256(await self.get(key)).hexdigest()

    async def close(self) -> None:
        """Close the client."""
        await self._stack.aclose()
        self._client = None

    @contextlib.asynccontextmanager
    async def _call(self) -> AsyncIterator[Any]:
        if self._client is None:
            self._client = await self._stack.enter_async_context(
                get_session().create_client(
                    "s3",
                    endpoint_url=self._endpoint,
                    region_name=self._region,
                    config=_CONFIG,
                )
            )
        try:
            yield self._client
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ("PreconditionFailed", "412"):
                raise ObjectExists("object_exists") from error
            if code in ("NoSuchKey", "404", "NotFound"):
                raise NotFound("object_missing") from error
            raise Unavailable("object_store_unavailable", str(error)) from error
        except (BotoCoreError, OSError) as error:
            raise Unavailable("object_store_unavailable", str(error)) from error
