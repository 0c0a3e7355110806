"""The core under mutated datagrams and streams: a small run of what bench-fuzz-sip does long."""

from __future__ import annotations

from itertools import islice

from fuzz.driver import Driver
from fuzz.mutants import mutants

MESSAGES = 1_500
EVERY = 10


def test_mutants_do_not_deafen() -> None:
    """Whatever comes, the control OPTIONS is answered, and in the end no transaction is left."""
    driver = Driver()
    for number, octets in enumerate(islice(mutants(1), MESSAGES)):
        if number % 3:
            driver.datagram(octets)
        else:
            driver.stream(octets, number)
        if number % EVERY == 0:
            assert driver.is_alive(), octets
    assert driver.calls
    driver.finish()
    assert driver.endpoint.next_timer() is None
