"""The ledger's door with mutual TLS: who may say and ask what, by the peer's certificate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import ledgers
import pytest
from certificates import Authority
from ledgers import TIMEOUT, LedgerProcess, append, ask_permit, fact, told_call
from onrecord.api.consent_ledger.v1 import consent_ledger_pb2 as pb
from onrecord.contracts.event import Event

Launch = Callable[..., LedgerProcess]

OWNERS = {
    "call.started": "signalling",
    "policy.decided": "signalling",
    "call.answered": "signalling",
    "notice.given": "announcement",
}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The CA that everybody here trusts."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    return Authority(folder)


@pytest.fixture
def ledger(launch: Launch, authority: Authority) -> LedgerProcess:
    """A ledger that asks for certificates."""
    return launch(**authority.settings("consent-ledger", "ledger-1"))


async def append_as(authority: Authority, ledger: LedgerProcess, events: list[Event]) -> None:
    """Have each fact stated by its own service."""
    for event in events:
        async with ledger.stub(authority.credentials(OWNERS[event.type], "n1")) as stub:
            await append(stub, [event])


async def test_a_fact_is_taken_from_its_own_service_alone(
    ledger: LedgerProcess, authority: Authority
) -> None:
    """Signalling cannot say that something is stored; nothing of its request is entered."""
    async with ledger.stub(authority.credentials("signalling", "n1")) as stub:
        facts = [fact("c1", "call.started"), fact("c1", "recording.failed")]
        code, text = await ledgers.refusal(append(stub, facts))
        assert code == grpc.StatusCode.PERMISSION_DENIED
        assert "foreign_fact: c1:recording.failed" in text
        assert not await ledgers.read_all(stub)
        await append(stub, facts[:1])


async def test_keys_are_for_the_recorder_that_the_permit_names(
    ledger: LedgerProcess, authority: Authority
) -> None:
    """Neither another node nor another service gets the keys of a permit that it has seen."""
    await append_as(authority, ledger, told_call("c1"))
    async with ledger.stub(authority.credentials("media-recorder", "media-1")) as stub:
        code, text = await ledgers.refusal(ask_permit(stub, "c1"))
        assert (code, "other_service" in text) == (grpc.StatusCode.PERMISSION_DENIED, True)
    async with ledger.stub(authority.credentials("signalling", "n1")) as stub:
        granted = (await ask_permit(stub, "c1")).granted
    request = pb.UnitKeysRequest(permit=granted.permit, first=0, count=1)
    for service, node, reason in (
        ("media-recorder", "media-2", "other_audience"),
        ("retrieval", "media-1", "other_service"),
    ):
        async with ledger.stub(authority.credentials(service, node)) as stub:
            code, text = await ledgers.refusal(stub.UnitKeys(request, timeout=TIMEOUT))
            assert code == grpc.StatusCode.PERMISSION_DENIED
            assert reason in text
    async with ledger.stub(authority.credentials("media-recorder", "media-1")) as stub:
        keys = (await stub.UnitKeys(request, timeout=TIMEOUT)).unit_keys
        assert keys == granted.unit_keys[:1]


async def test_who_has_no_certificate_of_ours_is_not_let_in(
    ledger: LedgerProcess, authority: Authority, tmp_path: Path
) -> None:
    """A plain client and one of another CA get no answer; ours does."""
    async with ledger.stub(authority.credentials("signalling", "n1")) as stub:
        await append(stub, [fact("c1", "call.started")])
    other = Authority(tmp_path).credentials("signalling", "n1")
    for credentials in (None, other):
        async with ledger.stub(credentials) as stub:
            code, _ = await ledgers.refusal(stub.KeepAlive(pb.KeepAliveRequest(), timeout=5))
            assert code == grpc.StatusCode.UNAVAILABLE
