"""A whole call on a broker of its own, which the stack did not start but was given by address."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Broker, make_broker
from conversation import a_recorded_call
from onrecord.softphone import answering
from servers import free_port
from stack import laboratory, running_stack


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running empty broker outside of any stack."""
    made = make_broker(free_port, tmp_path)
    made.start()
    yield made
    made.stop()


async def test_a_call_on_a_broker_given_by_address(tmp_path: Path, broker: Broker) -> None:
    """The stack starts no broker of its own, and the call's facts arrive on the given one."""
    given = {
        "ONRECORD_KAFKA": broker.address,
        "ONRECORD_KAFKA_IDEMPOTENCE": str(broker.idempotence).lower(),
    }
    with running_stack(tmp_path / "data", environment=given) as stack:
        assert stack.endpoints["kafka"] == broker.address
        assert "kafka" not in stack.pids()
        async with laboratory(stack, answering()) as lab:
            await a_recorded_call(lab, "1000", seed=30)
