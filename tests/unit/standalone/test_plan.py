"""What a stack is made of: folder, keys, ports, processes and their settings."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from onrecord.ledger.keys import load_private_key
from onrecord.standalone import ports
from onrecord.standalone.addresses import (
    SERVICES,
    Addresses,
    External,
    choose_addresses,
    endpoint_addresses,
)
from onrecord.standalone.certificates import SipCertificates
from onrecord.standalone.endpoints import Endpoints, read_endpoints
from onrecord.standalone.errors import BadRequest, FolderInUse, NotRunning, StartFailed
from onrecord.standalone.folder import DataFolder, FolderLock
from onrecord.standalone.keys import ensure_keys
from onrecord.standalone.plan import StackPlan
from onrecord.standalone.process import ProcessSpec
from onrecord.standalone.routes import ensure_routes, routes_text

NOTHING_EXTERNAL = External("", "", "")


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A new data folder."""
    return DataFolder.at(tmp_path / "data")


@pytest.fixture
def addresses(folder: DataFolder) -> Iterator[Addresses]:
    """Ports for an embedded stack."""
    chosen = choose_addresses(folder, NOTHING_EXTERNAL, None)
    yield chosen
    chosen.release()


def processes(
    folder: DataFolder, chosen: Addresses, external: External, **environment: str
) -> dict[str, ProcessSpec]:
    """The planned processes by name."""
    plan = StackPlan(
        folder,
        chosen,
        external,
        ensure_keys(folder),
        SipCertificates(folder.keys / "sip"),
        folder.routes,
        {"PATH": "/bin", **environment},
    )
    return {spec.name: spec for spec in plan.processes()}


def test_an_embedded_stack_has_eight_processes(folder: DataFolder, addresses: Addresses) -> None:
    """Five services, the mover as their sibling, and two servers, each with a log of its own."""
    planned = processes(folder, addresses, NOTHING_EXTERNAL)
    assert set(planned) == {*SERVICES, "media-mover", "kafka", "mongo"}
    assert len({spec.log for spec in planned.values()}) == len(planned)
    assert "journal=true" in addresses.mongo
    assert planned["signalling"].environment["ONRECORD_KAFKA_IDEMPOTENCE"] == "false"
    assert planned["kafka"].environment == {}


def test_calls_end_before_the_servers(folder: DataFolder, addresses: Addresses) -> None:
    """The order of the stop: signalling first, the recorder before its mover, servers last."""
    planned = processes(folder, addresses, NOTHING_EXTERNAL)
    by_rank = sorted(planned, key=lambda name: planned[name].stop_rank)
    assert by_rank[:6] == [
        "signalling",
        "media-recorder",
        "media-mover",
        "announcement",
        "consent-ledger",
        "retrieval",
    ]


def test_real_servers_take_the_place_of_embedded_ones(folder: DataFolder) -> None:
    """Servers that the environment names are used and not started, idempotence is left alone."""
    given = {
        "ONRECORD_MONGO": "mongodb://user:secret@db.example:27017/?w=majority",
        "ONRECORD_KAFKA": "bus.example:9092",
        "ONRECORD_OBJECTS": "s3://bucket",
    }
    external = External.from_environment(given)
    chosen = choose_addresses(folder, external, None)
    try:
        planned = processes(folder, chosen, external, **given)
        assert not {"kafka", "mongo"} & set(planned)
        environment = planned["consent-ledger"].environment
        assert {name: environment[name] for name in given} == given
        assert "ONRECORD_KAFKA_IDEMPOTENCE" not in environment
        # A password is nobody's business who reads where the server is.
        assert endpoint_addresses(chosen)["mongo"] == "db.example:27017"
    finally:
        chosen.release()


def test_only_the_ledger_can_make_permits(folder: DataFolder, addresses: Addresses) -> None:
    """The private key is named to one service; all know the public one."""
    planned = processes(folder, addresses, NOTHING_EXTERNAL)
    holders = [
        name for name, spec in planned.items() if "ONRECORD_PERMIT_PRIVATE_KEY" in spec.environment
    ]
    assert holders == ["consent-ledger"]


def test_settings_of_the_user_pass_through(folder: DataFolder, addresses: Addresses) -> None:
    """A setting such as a lease time reaches the services; addresses are the stack's own."""
    planned = processes(
        folder,
        addresses,
        NOTHING_EXTERNAL,
        ONRECORD_UNIT_SECONDS="2",
        ONRECORD_SIP_LISTEN="1.2.3.4:5",
    )
    environment = planned["media-recorder"].environment
    assert environment["ONRECORD_UNIT_SECONDS"] == "2"
    assert environment["ONRECORD_SIP_LISTEN"] == "{}:{}".format(*addresses.sip)


def test_keys_are_made_once_and_private(folder: DataFolder) -> None:
    """An Ed25519 pair and a journal key, readable by their owner, the same at the next start."""
    files = ensure_keys(folder)
    private = load_private_key(files.permit_private.read_bytes())
    assert load_pem_public_key(files.permit_public.read_bytes()) == private.public_key()
    assert len(bytes.fromhex(files.journal.read_text())) == 32
    before = files.permit_private.read_bytes(), files.journal.read_bytes()
    assert ensure_keys(folder) == files
    assert (files.permit_private.read_bytes(), files.journal.read_bytes()) == before
    for path in (files.permit_private, files.journal):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_stack_keeps_is_private(tmp_path: Path) -> None:
    """Each folder is its owner's alone; one that was there already keeps the mode it had."""
    tmp_path.chmod(0o755)
    folder = DataFolder.at(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert {stat.S_IMODE(part.stat().st_mode) for part in tmp_path.iterdir()} == {0o700}
    new = DataFolder.at(tmp_path / "new")
    assert stat.S_IMODE(new.root.stat().st_mode) == 0o700
    assert folder.root == tmp_path


def test_what_cannot_be_a_data_folder_is_a_wrong_request(tmp_path: Path) -> None:
    """A file in its place, or a place where nothing can be made: one line that says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match="is a file"):
        DataFolder.at(tmp_path / "file")
    with pytest.raises(BadRequest, match="/proc/onrecord cannot be the data folder"):
        DataFolder.at(Path("/proc/onrecord"))


def test_the_first_port_is_tried_first_and_a_taken_one_is_named() -> None:
    """So SIP keeps its port; the reason is told where the user chose one."""
    number = ports.reserve(socket.SOCK_DGRAM)
    number.release()
    held = ports.reserve(socket.SOCK_DGRAM, first=number.number)
    assert held.number == number.number
    with pytest.raises(StartFailed, match="is in use"):
        ports.reserve_given(socket.SOCK_DGRAM, "127.0.0.1", held.number)
    other = ports.reserve(socket.SOCK_DGRAM, first=held.number)
    assert other.number != held.number
    held.release()
    other.release()
    with pytest.raises(StartFailed, match="is not an address of this machine"):
        ports.reserve_given(socket.SOCK_DGRAM, "192.0.2.1", 5060)


def test_a_reserved_port_is_not_given_twice() -> None:
    """While it is held, the same number can be bound by its server but not reserved again."""
    held = ports.reserve(socket.SOCK_STREAM)
    try:
        with socket.socket() as server:
            server.bind(("127.0.0.1", held.number))
        with pytest.raises(StartFailed, match="is in use"):
            ports.reserve_given(socket.SOCK_STREAM, "127.0.0.1", held.number)
        with pytest.raises(StartFailed, match="is in use"):
            ports.reserve_given(socket.SOCK_DGRAM, "127.0.0.1", held.number)
    finally:
        held.release()
    ports.reserve_given(socket.SOCK_STREAM, "127.0.0.1", held.number).release()


def test_sip_on_all_addresses_is_refused(folder: DataFolder) -> None:
    """Others must be told an address that they can send to."""
    with pytest.raises(BadRequest, match="--sip needs the address"):
        choose_addresses(folder, NOTHING_EXTERNAL, ("0.0.0.0", 5060))


def test_a_folder_has_one_stack(folder: DataFolder) -> None:
    """A second lock fails and names the process; after the release it succeeds."""
    lock = FolderLock(folder)
    with pytest.raises(FolderInUse, match="already runs"):
        FolderLock(folder)
    lock.release()
    FolderLock(folder).release()


def test_endpoints_are_flat_text(folder: DataFolder, addresses: Addresses) -> None:
    """The keys that others rely on, `host:port` each, objects and pids besides."""
    written = Endpoints(endpoint_addresses(addresses), addresses.objects, {"signalling": 7})
    written.write(folder.endpoints)
    found = json.loads(folder.endpoints.read_text())
    assert set(found) == {
        *("sip_udp", "sip_tcp", "sip_tls", "kafka", "mongo", "objects", "pids"),
        *(f"{kind}.{name}" for kind in ("grpc", "http") for name in SERVICES),
    }
    assert found["mongo"].startswith("127.0.0.1:")
    assert "/" not in found["mongo"]
    lock = FolderLock(folder)
    assert read_endpoints(folder.root) == written
    # A supervisor that was killed leaves the file behind, but not its lock.
    lock.release()
    with pytest.raises(NotRunning, match="no stack runs"):
        read_endpoints(folder.root)


def test_without_endpoints_no_stack_runs(tmp_path: Path) -> None:
    """The error says how to start one."""
    with pytest.raises(NotRunning, match="onrecord up --data"):
        read_endpoints(tmp_path)


def test_the_default_routes_are_written_once(folder: DataFolder) -> None:
    """A routes file that the user changed is left as it is."""
    ensure_routes(folder.routes)
    assert folder.routes.read_text() == routes_text()
    folder.routes.write_text("changed")
    ensure_routes(folder.routes)
    assert folder.routes.read_text() == "changed"
