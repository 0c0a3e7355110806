"""The clock of silence: what passes while nobody listens is not counted."""

from onrecord.consent_ledger.domain.awake import AwakeClock


def test_time_in_which_the_process_stood_still_is_not_counted() -> None:
    """After a stop of an hour no more has passed than between two readings."""
    clock = AwakeClock(longest=3)
    assert [clock.read(now) for now in (100, 101, 103)] == [0, 1, 3]
    assert clock.read(3703) == 6
    assert clock.read(3704) == 7


def test_the_clock_never_falls() -> None:
    """Whatever it is given, later readings are not earlier."""
    clock = AwakeClock(longest=3)
    readings = [clock.read(now) for now in (5, 7, 6, 6.5)]
    assert readings == sorted(readings)
