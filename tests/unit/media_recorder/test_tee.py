"""Word of what the ring had no room for covers every packet that was lost, and only its source."""

from __future__ import annotations

from onrecord.media_recorder.domain.coverage import loss_of
from onrecord.media_recorder.domain.record import Kind, Record
from onrecord.media_recorder.mover.tee import MAX_RUNS, Tee


class Full:
    """A ring without room."""

    def put(self, _record: Record) -> bool:
        """Take nothing."""
        return False


def lose(tee: Tee, *numbers: int, ssrc: int = 7) -> None:
    """Let packets of a source find no room."""
    for number in numbers:
        assert not tee.put(Record(0, Kind.FRAME, 0, ssrc, number, number * 160, 0))


def told(tee: Tee) -> list[tuple[int, int, int, int | None]]:
    """Source, first, last and the first one's timestamp of each run that waits to be told."""
    losses = [loss_of(record) for record in tee.untold(0)]
    return [(loss.ssrc, loss.first, loss.last, loss.timestamp) for loss in losses]


def test_late_packets_widen_a_run() -> None:
    """Lost out of order, the run still begins with the lowest number and ends with the highest."""
    tee = Tee(Full())
    lose(tee, 5, 4, 7, 6)
    assert told(tee) == [(7, 4, 7, 640)]


def test_a_run_never_ends_with_the_number_of_another_source() -> None:
    """More changes of source than are told apart: the runs that are told stay true."""
    tee = Tee(Full())
    for change in range(MAX_RUNS + 3):
        lose(tee, change * 1000, ssrc=change)
    assert told(tee) == [(n, n * 1000, n * 1000, n * 160_000) for n in range(MAX_RUNS)]
