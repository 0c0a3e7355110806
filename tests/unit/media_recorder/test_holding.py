"""What waits for a permit waits in the mover, for its time, and is never lost without a word."""

from __future__ import annotations

from onrecord.media_recorder.domain.record import Kind, Record, lost_run
from onrecord.media_recorder.mover.call import Bridge, LegMedia, Prompt
from onrecord.media_recorder.mover.engine import Engine
from onrecord.media_recorder.mover.holding import MAX_PER_SECOND, Limits
from onrecord.media_recorder.ring import Ring
from onrecord.rtp.packet import Packet, build

CALLER = ("192.0.2.1", 4000)
LIMITS = Limits(person=2.0, played=30.0)


class Line:
    """A call with one told party, who talks; a clock of its own."""

    def __init__(self, ring_octets: int = 1 << 20) -> None:
        self.ring, self.now = Ring.create(ring_octets), 100.0
        self.engine = Engine(self.ring, lambda bits: 2**bits - 3, LIMITS)
        self.engine.open("c1", "", [LegMedia("caller", CALLER, 0)], Bridge.NOW, {"caller"})
        self.flow = self.engine.flow("c1", "caller")

    def play(self, frames: int) -> None:
        """Give the notice."""
        prompt = Prompt("n", "caller", 0, (b"p" * 160,) * frames, 160, is_notice=True)
        self.engine.play("c1", prompt, self.now, 0)
        for _ in range(frames):
            list(self.engine.tick(self.now, 0))
            self.now += 0.02

    def talk(self, first: int, packets: int, seconds: float = 0.02) -> None:
        """Let the caller send so many packets, `seconds` apart."""
        for sequence in range(first, first + packets):
            packet = build(Packet(0, sequence, sequence * 160, 7, b"a" * 160))
            self.engine.receive(self.flow.number, packet, CALLER, self.now, 0)
            self.now += seconds

    def permit(self) -> list[Record]:
        """Permit the call, and give what then is in the ring."""
        self.engine.permit("c1", ["caller"], self.now)
        list(self.engine.tick(self.now, 0))
        return [record for _, record in self.ring.read(0, 10_000)[0]]


def test_nothing_is_in_the_ring_before_the_permit() -> None:
    """Neither notice nor person keeps the ring's tail back, however long the permit takes."""
    line = Line()
    line.play(20)
    line.talk(10, 50)
    assert line.ring.head == 0
    records = line.permit()
    played = [one for one in records if one.flow == line.flow.service]
    assert len(played) == 20
    assert [one.sequence for one in records if one.flow == line.flow.number] == list(range(10, 60))


def test_a_person_waits_two_seconds_a_notice_thirty() -> None:
    """What waited too long is not kept, and said so before what follows it."""
    line = Line()
    line.play(5)
    line.talk(0, 4, seconds=1.0)
    records = line.permit()
    own = [one for one in records if one.flow == line.flow.number]
    assert [(one.kind, one.sequence) for one in own] == [
        (Kind.EXPIRED, 0),
        (Kind.FRAME, 2),
        (Kind.FRAME, 3),
    ]
    assert lost_run(own[0]) == (1, 2)
    assert len([one for one in records if one.flow == line.flow.service]) == 5


def test_silence_lets_what_waits_go_too() -> None:
    """A party that fell silent is not kept in memory until it speaks again."""
    line = Line()
    line.play(1)
    line.talk(0, 3)
    line.now += LIMITS.person + 1
    list(line.engine.tick(line.now, 0))
    assert not line.engine._holding._queues[line.flow.number].records


def test_a_flood_is_bounded_by_number() -> None:
    """However fast a party sends, no more waits than its seconds hold."""
    line = Line()
    line.play(1)
    line.talk(0, 1000, seconds=0.0)
    frames = [
        one for one in line.permit() if one.flow == line.flow.number and one.kind is Kind.FRAME
    ]
    assert len(frames) == LIMITS.person * MAX_PER_SECOND
    assert frames[-1].sequence == 999


def test_a_stop_drops_what_waits() -> None:
    """After an objection there is nothing left that a permit could let through."""
    line = Line()
    line.play(1)
    line.talk(0, 10)
    line.engine.cut("c1")
    line.talk(10, 10)
    assert line.permit() == []


def test_what_finds_no_room_when_it_is_let_through_is_told() -> None:
    """A ring too small for the notice says which of its frames are missing."""
    line = Line(ring_octets=4096)
    line.play(40)
    records = line.permit()
    line.ring.tail = line.ring.head
    list(line.engine.tick(line.now, 0))
    records += [record for _, record in line.ring.read(line.ring.tail, 10)[0]]
    kept = [one.sequence for one in records if one.kind is Kind.FRAME]
    lost = [(one.sequence, *lost_run(one)) for one in records if one.kind is Kind.LOST]
    assert lost[0][0] == kept[-1] + 1
    assert len(kept) + sum(packets for _, _, packets in lost) == 40
    assert line.flow.counters.ring_full == 40 - len(kept) > 0
