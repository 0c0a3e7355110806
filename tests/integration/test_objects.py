"""What every object store must do, on a folder and on a real S3 server."""

import asyncio
import hashlib
import json
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from onrecord.platform.errors import NotFound, Unavailable
from onrecord.platform.objects import ObjectExists, ObjectStore, open_store

KEY, SECRET = "key-of-the-tests", "secret-of-the-tests"
BUCKET = "recordings"


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="module")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A SeaweedFS server with one set of credentials, all of its ports chosen free."""
    folder = tmp_path_factory.mktemp("s3")
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    credentials = [{"accessKey": KEY, "secretKey": SECRET}]
    identity = {"name": "app", "credentials": credentials, "actions": actions}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    doors = [f"{name}.port" for name in ("master", "volume", "filer", "s3", "admin")]
    doors += [f"{door}.grpc" for door in doors]
    ports = dict(zip(doors, free_ports(len(doors)), strict=True))
    command = [
        str(Path(sys.executable).with_name("weed")), "-logtostderr=true", "mini",
        f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={folder}/s3.json",
        "-master.telemetry=false", "-webdav=false", "-admin.ui=false",
        "-s3.port.lance=0", "-s3.port.iceberg=0",
    ]  # fmt: skip
    command += [f"-{door}={port}" for door, port in ports.items()]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        yield f"http://127.0.0.1:{ports['s3.port']}"
        server.kill()
        server.wait(10)


async def make_bucket(endpoint: str) -> None:
    """Create the bucket as soon as the server answers; at most 30 s."""
    session = get_session()
    async with asyncio.timeout(30):
        while True:
            try:
                async with session.create_client(
                    "s3",
                    endpoint_url=endpoint,
                    region_name="us-east-1",
                    aws_access_key_id=KEY,
                    aws_secret_access_key=SECRET,
                ) as client:
                    await client.create_bucket(Bucket=BUCKET)
                    return
            except ClientError as error:
                if error.response["Error"]["Code"].startswith("BucketAlready"):
                    return
                await asyncio.sleep(0.1)
            except (BotoCoreError, OSError):
                await asyncio.sleep(0.1)


@pytest.fixture(params=["folder", "s3"])
async def store(
    request: pytest.FixtureRequest,
    s3_endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[ObjectStore]:
    """An empty name space in each kind of store."""
    if request.param == "folder":
        opened = open_store(str(tmp_path))
    else:
        await make_bucket(s3_endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        opened = open_store(f"s3://{BUCKET}?endpoint={s3_endpoint}")
    yield opened
    await opened.close()


def digest(body: bytes) -> str:
    """The SHA-256 as the store takes it."""
    return hashlib.sha256(body).hexdigest()


def fresh_key() -> str:
    """A key that no other test has used."""
    return f"c{secrets.token_hex(6)}/caller/1-0"


async def test_an_object_is_read_back_whole_and_in_ranges(store: ObjectStore) -> None:
    """What was put comes back, any range of it, and its hash."""
    key, body = fresh_key(), secrets.token_bytes(100_000)
    await store.put_new(key, body, digest(body))
    assert await store.get(key) == body
    assert await store.get(key, 70_000) == body[70_000:]
    assert await store.get(key, 10, 20) == body[10:30]
    assert await store.sha256(key) == digest(body)


async def test_an_object_is_never_written_twice(store: ObjectStore) -> None:
    """Of many writers of one key exactly one succeeds, and its bytes stay (I9)."""
    key = fresh_key()
    bodies = [b"%d" % n * 1000 for n in range(8)]
    outcomes = await asyncio.gather(
        *(store.put_new(key, body, digest(body)) for body in bodies), return_exceptions=True
    )
    winners = [body for body, outcome in zip(bodies, outcomes, strict=True) if outcome is None]
    assert len(winners) == 1
    assert all(isinstance(outcome, ObjectExists) for outcome in outcomes if outcome is not None)
    assert await store.get(key) == winners[0]


async def test_a_body_that_is_not_what_it_says_is_refused(store: ObjectStore) -> None:
    """A wrong SHA-256 stores nothing."""
    key = fresh_key()
    with pytest.raises((ValueError, Unavailable)):
        await store.put_new(key, b"body", digest(b"another body"))
    assert await store.sha256(key) is None


async def test_what_is_not_there_is_said(store: ObjectStore) -> None:
    """A missing object is NotFound, and has no hash."""
    key = fresh_key()
    assert await store.sha256(key) is None
    with pytest.raises(NotFound):
        await store.get(key)


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", "a/../b", "", "a/.hidden", "a\x00b"])
async def test_a_key_cannot_leave_the_store(tmp_path: Path, key: str) -> None:
    """Keys are words; anything that could climb out is an error."""
    with pytest.raises(ValueError, match="not an object key"):
        await open_store(str(tmp_path)).put_new(key, b"", digest(b""))


def test_another_scheme_is_refused() -> None:
    """The error says what addresses there are."""
    with pytest.raises(ValueError, match="s3://bucket"):
        open_store("ftp://somewhere")
