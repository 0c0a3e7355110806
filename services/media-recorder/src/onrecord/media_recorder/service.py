"""The composition root of the media recorder: the only file that knows all of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from onrecord.api.consent_ledger.v1 import consent_ledger_pb2_grpc as ledger_rpc
from onrecord.api.media_recorder.v1 import media_recorder_pb2 as pb
from onrecord.api.media_recorder.v1 import media_recorder_pb2_grpc as rpc
from onrecord.ledger.keys import load_public_key
from onrecord.media_recorder.adapters.unit_keys import UnitKeys
from onrecord.media_recorder.leases import Leases
from onrecord.media_recorder.memory import lock_process
from onrecord.media_recorder.operations import Operations
from onrecord.media_recorder.recorder import Recorder
from onrecord.media_recorder.rpc import MediaServicer
from onrecord.media_recorder.settings import RecorderSettings
from onrecord.media_recorder.storing import Storing
from onrecord.media_recorder.subscriptions import subscriptions
from onrecord.media_recorder.succession import Succession
from onrecord.platform.facts import FactWriter
from onrecord.platform.journal import Journal, read_key
from onrecord.platform.lifecycle import Chassis, Service
from onrecord.platform.objects import open_store
from onrecord.platform.telemetry import get_logger, meter
from opentelemetry.metrics import CallbackOptions, Observation

log = get_logger()
SERVICE_NAME = pb.DESCRIPTOR.services_by_name["Media"].full_name


def build(settings: RecorderSettings, chassis: Chassis) -> Service:
    """Compose the service. Raises OSError, ValueError for keys or folders that are not there."""
    settings.spool.mkdir(parents=True, exist_ok=True)
    public_key = load_public_key(settings.permit_public_key.read_bytes())
    ledger = ledger_rpc.LedgerStub(chassis.channel(settings.ledger))
    journal = Journal(settings.data / "facts.journal", read_key(settings.journal_key))
    facts = FactWriter(journal, ledger)
    store = open_store(settings.objects)
    keys = UnitKeys(ledger)
    succession = Succession(settings.spool, public_key)
    storing = Storing(settings.spool, store, facts, keys)
    recorder = Recorder(succession, settings.mover, storing, facts, keys)
    recorder.unit_seconds = settings.unit_seconds
    operations = Operations(recorder, succession, public_key, settings.node)
    leases = Leases(
        recorder,
        operations,
        settings.lease_seconds,
        settings.orphan_seconds,
        settings.rtp_timeout_seconds,
    )
    address = settings.media_advertise or settings.grpc_listen
    servicer = MediaServicer(operations, recorder.watchers, settings.node, address)
    memory_locked = lock_process()
    _observe(recorder, storing, facts, memory_locked=memory_locked)

    async def end_watching() -> None:
        # Or the door would wait for streams that end with their calls only.
        await chassis.draining.wait()
        recorder.watchers.end_all()

    async def stop() -> None:
        await recorder.read_out()
        await store.close()
        journal.sync()

    return Service(
        rpc=[(rpc.add_MediaServicer_to_server, servicer, SERVICE_NAME)],
        subscriptions=subscriptions(operations),
        tasks=[
            recorder.run_mover,
            recorder.run_drain,
            recorder.run_sync,
            recorder.key_supply.run,
            leases.run,
            end_watching,
            facts.run,
            facts.run_sync,
            storing.run,
        ],
        ready=lambda: _reasons(recorder, settings.spool),
        stop=stop,
    )


def _reasons(recorder: Recorder, spool: Path) -> list[str]:
    """Why no call should be given to this recorder now."""
    reasons = []
    if recorder.mover is None:
        reasons.append("mover missing")
    try:
        (spool / ".writable").touch()
    except OSError:
        reasons.append("spool not writable")
    return reasons


def _observe(
    recorder: Recorder, storing: Storing, facts: FactWriter, *, memory_locked: bool
) -> None:
    """Offer as metrics what an operator must see, and say so once if memory is not locked."""
    if not memory_locked:
        # Not a reason to refuse calls: audio that waits for a permit could be swapped out.
        log.warning(
            "memory not locked",
            remedy="give this process an infinite memlock limit, or CAP_IPC_LOCK",
        )

    def watch(name: str, description: str, value: Callable[[], int]) -> None:
        def observe(_options: CallbackOptions) -> list[Observation]:
            return [Observation(value())]

        meter().create_observable_gauge(name, [observe], description=description)

    watch(
        "onrecord_memory_locked",
        "1 if no audio that waits for a permit can be swapped out",
        lambda: int(memory_locked and recorder.ring_locked),
    )
    watch("onrecord_media_calls", "calls open at the recorder", lambda: len(recorder.calls))
    watch("onrecord_media_facts_waiting", "facts not acknowledged", lambda: len(facts))
    watch("onrecord_media_facts_refused", "facts that the ledger refused", lambda: facts.refused)
    watch(
        "onrecord_media_calls_kept",
        "calls whose audio stays in the spool, as storing it failed",
        lambda: len(storing.kept),
    )
    watch(
        "onrecord_media_ring_damaged",
        "times that the ring could not be read",
        lambda: recorder.counters["ring_damaged"],
    )
