"""The mover's core moves, plays and captures by its rules, in virtual time."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.ledger.permit import Position
from onrecord.media_recorder.domain.record import Kind, Record
from onrecord.media_recorder.mover.call import Bridge, LegMedia, MoverRefused, Prompt
from onrecord.media_recorder.mover.engine import Engine, Send
from onrecord.rtp import dtmf
from onrecord.rtp.packet import Packet, build, parse

CALLER, AGENT = ("192.0.2.1", 4000), ("192.0.2.2", 5000)
FOREIGN = ("198.51.100.9", 6000)


@dataclass
class Bench:
    """An engine with one two-legged call, a clock of its own and a list in the ring's place."""

    bridge: Bridge = Bridge.AFTER_NOTICES
    notices: tuple[str, ...] = ("caller", "agent")
    now: float = 100.0
    room: bool = True
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(self, lambda bits: 2**bits - 3)
        legs = [LegMedia("caller", CALLER, 0, 101), LegMedia("agent", AGENT, 0, 96)]
        self.engine.open("c1", "tag", legs, self.bridge, set(self.notices))

    def put(self, record: Record) -> bool:
        """Take a record as the ring would."""
        if self.room:
            self.records.append(record)
        return self.room

    def hear(
        self,
        leg: str,
        sequence: int,
        *,
        ssrc: int = 7,
        kind: int = 0,
        payload: bytes = b"a" * 160,
        source: tuple[str, int] | None = None,
    ) -> Send | None:
        """Let one packet arrive at a leg's port."""
        packet = Packet(kind, sequence % 65536, sequence * 160 % 2**32, ssrc, payload)
        from_ = source or {"caller": CALLER, "agent": AGENT}[leg]
        number = self.engine.flow("c1", leg).number
        return self.engine.receive(number, build(packet), from_, self.now, self.utc_ns)

    @property
    def utc_ns(self) -> int:
        """The wall clock, which follows the virtual one."""
        return int(self.now * 1e9)

    def play(self, leg: str, frames: int = 3, notice: str = "n1") -> None:
        """Play a notice of so many frames to its end."""
        prompt = Prompt(notice, leg, 0, (b"p" * 160,) * frames, 160, is_notice=True)
        self.engine.play("c1", prompt, self.now, self.utc_ns)
        for _ in range(frames):
            list(self.engine.tick(self.now, self.utc_ns))
            self.now += 0.02

    def permit(self, *legs: str) -> None:
        """Let what waits of the call, and what these legs send, into the ring."""
        self.engine.permit("c1", legs, self.now)

    def kept(self, leg: str) -> list[int]:
        """The sequence numbers that the ring has of a leg."""
        number = self.engine.flow("c1", leg).number
        return [one.sequence for one in self.records if one.flow == number]


def test_nothing_of_a_person_is_captured_or_forwarded_before_the_notice() -> None:
    """Until a leg's notice ended its packets are counted and go nowhere."""
    bench = Bench()
    assert [bench.hear("caller", n) for n in range(5)] == [None] * 5
    bench.permit()
    assert bench.records == []
    assert bench.engine.flow("c1", "caller").counters.before_bridge == 5


def test_capture_begins_at_the_notices_end_and_the_bridge_at_the_later_one() -> None:
    """Each leg is captured from its own notice's end; they hear each other from the later."""
    bench = Bench()
    bench.hear("caller", 10)
    bench.play("caller")
    assert bench.hear("caller", 11) is None
    bench.hear("agent", 500)
    bench.play("agent")
    assert bench.hear("agent", 501).address == CALLER  # type: ignore[union-attr]
    assert bench.hear("caller", 12).address == AGENT  # type: ignore[union-attr]
    assert bench.records == []
    bench.permit("caller", "agent")
    assert (bench.kept("caller"), bench.kept("agent")) == ([11, 12], [501])


def test_early_media_ends_where_the_notices_begin() -> None:
    """Joined before the answer, apart until both were told, and nothing of before is kept."""
    bench = Bench()
    bench.engine.update("c1", [], Bridge.NOW)
    assert bench.hear("agent", 1).address == CALLER  # type: ignore[union-attr]
    bench.engine.update("c1", [], Bridge.AFTER_NOTICES)
    assert bench.hear("agent", 2) is None
    bench.play("caller")
    assert bench.hear("agent", 3) is None
    bench.play("agent")
    assert bench.hear("agent", 4).address == CALLER  # type: ignore[union-attr]
    bench.permit("caller", "agent")
    assert bench.kept("agent") == [4]


def test_report_says_what_was_sent_and_how_far_the_leg_had_come() -> None:
    """The play report fits the packets, and its position is the last one before its end."""
    bench = Bench()
    for number in (65534, 65535, 65536):
        bench.hear("caller", number)
    bench.play("caller", frames=3)
    report = bench.engine.call("c1").reports["n1", "caller"]
    assert (report.complete, report.packets, report.octets) == (True, 3, 480)
    assert report.payload_sha256 == hashlib.sha256(b"p" * 480).hexdigest()
    assert report.last_sequence - report.first_sequence == 2
    assert report.received == Position(7, 65536, 65536 * 160 % 2**32)


def test_played_frames_are_captured_from_the_first() -> None:
    """What a party was played is a leg of its own, whole."""
    bench = Bench()
    bench.play("agent", frames=4)
    bench.permit()
    flow = bench.engine.flow("c1", "agent")
    assert [one.flow for one in bench.records] == [flow.service] * 4
    assert {one.payload for one in bench.records} == {b"p" * 160}


def test_prompt_then_other_party_is_one_stream() -> None:
    """The agent hears notice and caller under one SSRC with rising numbers."""
    bench = Bench(notices=("agent",))
    prompt = Prompt("n1", "agent", 0, (b"p" * 160,) * 2, 160, is_notice=True)
    bench.engine.play("c1", prompt, bench.now, bench.utc_ns)
    sent = list(bench.engine.tick(bench.now, 0))
    bench.now += 0.02
    sent += list(bench.engine.tick(bench.now, 0))
    bench.now += 0.02
    sent += [one for n in range(3) if (one := bench.hear("caller", 900 + n))]
    packets = [parse(one.datagram) for one in sent]
    assert len({packet.ssrc for packet in packets}) == 1
    first = packets[0].sequence
    assert [packet.sequence - first for packet in packets] == [0, 1, 2, 3, 4]


def test_play_is_idempotent_and_one_at_a_time() -> None:
    """The same notice again is not played again; another one meanwhile is refused."""
    bench = Bench()
    prompt = Prompt("n1", "caller", 0, (b"p" * 160,) * 3, 160, is_notice=True)
    assert bench.engine.play("c1", prompt, bench.now, 0) is None
    assert bench.engine.play("c1", prompt, bench.now, 0) is None
    with pytest.raises(MoverRefused, match="leg_busy"):
        bench.engine.play(
            "c1", Prompt("n2", "caller", 0, (b"q",), 160, is_notice=True), bench.now, 0
        )
    for _ in range(3):
        list(bench.engine.tick(bench.now, 0))
        bench.now += 0.02
    report = bench.engine.play("c1", prompt, bench.now, 0)
    assert report is not None
    assert report.packets == 3
    bench.permit()
    assert len(bench.records) == 3


@pytest.mark.parametrize(
    ("leg", "reason"),
    [
        (LegMedia("caller"), "no_remote_address"),
        (LegMedia("caller", CALLER), "no_codec"),
        (LegMedia("caller", CALLER, 8), "no_codec"),
    ],
)
def test_unplayable_prompt_says_why_and_opens_nothing(leg: LegMedia, reason: str) -> None:
    """Without an address or the prompt's codec nothing is sent and the notice stays due."""
    bench = Bench()
    bench.engine.open("c2", "", [leg], Bridge.AFTER_NOTICES, {"caller"})
    prompt = Prompt("n1", "caller", 0, (b"p",), 160, is_notice=True)
    report = bench.engine.play("c2", prompt, bench.now, 0)
    assert report is not None
    assert (report.complete, report.reason, report.packets) == (False, reason, 0)
    assert bench.engine.call("c2").notices_due == {"caller"}
    assert not bench.engine.flow("c2", "caller").capturing


def test_close_ends_a_prompt_with_a_report() -> None:
    """A call that ends during its notice has a report that is not complete."""
    bench = Bench()
    prompt = Prompt("n1", "caller", 0, (b"p" * 160,) * 9, 160, is_notice=True)
    bench.engine.play("c1", prompt, bench.now, 0)
    list(bench.engine.tick(bench.now, 0))
    bench.engine.close("c1", 5)
    report = bench.engine.call("c1").reports["n1", "caller"]
    assert (report.complete, report.reason, report.packets) == (False, "leg_closed", 1)
    assert bench.hear("caller", 1) is None
    assert bench.engine.idle


def test_late_mover_moves_the_prompt_instead_of_a_burst() -> None:
    """After a stall of a second the frames go on one by one."""
    bench = Bench()
    prompt = Prompt("n1", "caller", 0, (b"p" * 160,) * 9, 160, is_notice=True)
    bench.engine.play("c1", prompt, bench.now, 0)
    assert len(list(bench.engine.tick(bench.now, 0))) == 1
    bench.now += 1.0
    assert len(list(bench.engine.tick(bench.now, 0))) == 1


def test_foreign_source_is_never_forwarded_or_captured() -> None:
    """Once the signalled source sends, nobody else gets in."""
    bench = Bench(bridge=Bridge.NOW)
    bench.permit("caller")
    bench.hear("caller", 0)
    for number in range(50):
        assert bench.hear("caller", number, ssrc=9, source=FOREIGN) is None
    assert bench.kept("caller") == [0]
    assert bench.engine.flow("c1", "caller").counters.foreign == 50


def test_source_behind_another_nat_earns_its_place_but_is_never_sent_to() -> None:
    """Five packets in a row within a second are accepted; answers still go where signalled."""
    bench = Bench(bridge=Bridge.NOW)
    heard = [bench.hear("caller", n, source=FOREIGN) for n in range(6)]
    assert [one is not None for one in heard] == [False] * 4 + [True] * 2
    assert bench.hear("agent", 1).address == CALLER  # type: ignore[union-attr]
    # The signalled source itself ends what was learned.
    assert bench.hear("caller", 6) is not None
    assert bench.hear("caller", 7, source=FOREIGN) is None


def test_slow_or_broken_run_of_packets_earns_nothing() -> None:
    """Five packets that are not in a row, or take longer than a second, are not accepted."""
    bench = Bench(bridge=Bridge.NOW)
    for number in (1, 2, 3, 5, 6, 7, 8):
        bench.hear("caller", number, source=FOREIGN)
    for number in range(20, 30):
        bench.now += 0.3
        bench.hear("caller", number, source=FOREIGN)
    assert bench.engine.flow("c1", "caller").counters.received == 0


def test_unexpected_payload_type_is_dropped_and_counted() -> None:
    """A type that was not agreed is neither forwarded nor captured; comfort noise is."""
    bench = Bench(bridge=Bridge.NOW)
    bench.permit("caller")
    assert bench.hear("caller", 1, kind=18) is None
    assert bench.hear("caller", 2, kind=13) is not None
    assert bench.kept("caller") == [2]


def test_telephone_event_is_mapped_told_and_masked() -> None:
    """A key press goes on under the other leg's type; its digit is told once and not captured."""
    bench = Bench(bridge=Bridge.NOW)
    bench.permit("caller")
    payload = dtmf.build(dtmf.TelephoneEvent(5, True, 10, 800))
    number = bench.engine.flow("c1", "caller").number
    for sequence in (1, 2, 3):
        datagram = build(Packet(101, sequence, 160, 7, payload))
        sent = bench.engine.receive(number, datagram, CALLER, bench.now, 0)
        assert parse(sent.datagram).payload_type == 96  # type: ignore[union-attr]
    told = [one for one in bench.engine.happenings if one.what == "dtmf"]
    assert [(one.leg, one.digit, one.duration_ms) for one in told] == [("caller", "5", 100)]
    assert [(one.kind, one.payload) for one in bench.records] == [(Kind.MASKED, b"")] * 3


def test_full_ring_is_told_in_the_ring() -> None:
    """Packets that found no room are announced before the next one that does."""
    bench = Bench(bridge=Bridge.NOW)
    bench.permit("caller")
    bench.hear("caller", 1)
    bench.room = False
    for number in (2, 3, 4):
        assert bench.hear("caller", number) is not None
    bench.room = True
    bench.hear("caller", 5)
    assert [(one.kind, one.sequence) for one in bench.records] == [
        (Kind.FRAME, 1),
        (Kind.LOST, 2),
        (Kind.FRAME, 5),
    ]
    assert bench.engine.flow("c1", "caller").counters.ring_full == 3


def test_late_packets_from_before_capturing_are_not_captured() -> None:
    """A packet sent before the notice's end is not audio after it, however late it comes."""
    bench = Bench(bridge=Bridge.NOW, notices=("caller",))
    for number in (10, 11, 13):
        bench.hear("caller", number)
    bench.play("caller")
    for number in (12, 14):
        bench.hear("caller", number)
    bench.permit("caller")
    assert bench.kept("caller") == [14]


def test_source_from_before_the_notice_does_not_come_back_as_a_new_one() -> None:
    """Of several SSRCs heard before the notice's end only the current is captured; new ones are."""
    bench = Bench(bridge=Bridge.NOW, notices=("caller",))
    bench.hear("caller", 1, ssrc=6)
    bench.hear("caller", 1, ssrc=7)
    bench.play("caller")
    for ssrc in (6, 7, 8):
        bench.hear("caller", 2, ssrc=ssrc)
    bench.permit("caller")
    assert [one.ssrc for one in bench.records if one.flow == 0] == [7, 8]


@given(st.lists(st.tuples(st.binary(max_size=60), st.sampled_from([CALLER, FOREIGN]))))
def test_any_datagrams_are_survived(datagrams: list[tuple[bytes, tuple[str, int]]]) -> None:
    """Whatever arrives is counted once, and nothing from elsewhere is captured."""
    bench = Bench(bridge=Bridge.NOW)
    bench.permit("caller")
    flow = bench.engine.flow("c1", "caller")
    for datagram, source in datagrams:
        bench.engine.receive(flow.number, b"\x80" + datagram, source, bench.now, 0)
    count = flow.counters
    rest = count.malformed + count.foreign + count.unexpected_type
    assert count.received + rest >= len(datagrams)


def test_flow_numbers_never_share_a_slot() -> None:
    """Each leg and what is played to it have places of their own in the ring's table."""
    bench = Bench()
    numbers: Counter[int] = Counter()
    for call in range(200):
        legs = [LegMedia("caller"), LegMedia("agent")]
        made = bench.engine.open(f"x{call}", "", legs, Bridge.NOW, set())
        numbers.update(n for flow in made.flows.values() for n in (flow.number, flow.service))
        if call % 3 == 0:
            bench.engine.close(f"x{call}", 0)
            bench.engine.forget(f"x{call}")
    assert max(numbers.values()) == 1


def test_a_notice_that_the_network_refused_was_not_given() -> None:
    """One frame that could not be sent: the report says so, nothing is captured, nobody joined."""
    bench = Bench(notices=("caller",))
    prompt = Prompt("n1", "caller", 0, (b"p" * 160,) * 3, 160, is_notice=True)
    bench.engine.play("c1", prompt, bench.now, bench.utc_ns)
    for frame in range(3):
        for send in bench.engine.tick(bench.now, bench.utc_ns):
            if frame == 2:
                bench.engine.unsent(send.flow)
        bench.now += 0.02
    report = bench.engine.call("c1").reports["n1", "caller"]
    assert (report.complete, report.reason) == (False, "send_failed")
    assert bench.hear("caller", 11) is None
    bench.permit()
    assert bench.kept("caller") == []
    assert not bench.engine.call("c1").bridged


def test_a_packet_that_the_network_doubled_is_kept_once() -> None:
    """At once or late, in whatever order: each packet is captured once, and still relayed."""
    bench = Bench()
    bench.play("caller")
    bench.play("agent")
    for number in (65535, 65535, 65537, 65536, 65537, 65535, 65536, 65538):
        assert bench.hear("caller", number) is not None
    bench.permit("caller")
    assert bench.kept("caller") == [65535, 65537, 65536, 65538]
    assert bench.engine.flow("c1", "caller").counters.duplicate == 4


def test_a_source_that_began_and_ended_between_two_notices_is_not_kept() -> None:
    """A permit by the second notice names another source, and says nothing of this one."""
    bench = Bench()
    bench.hear("caller", 10)
    bench.play("caller", notice="english")
    bench.hear("caller", 11)
    bench.hear("caller", 700, ssrc=8)
    bench.hear("caller", 12)
    bench.play("caller", notice="welsh")
    bench.hear("caller", 701, ssrc=8)
    bench.hear("caller", 13)
    bench.permit("caller")
    assert bench.kept("caller") == [11, 12, 13]


def test_a_sender_that_starts_its_numbers_anew_is_kept_and_heard() -> None:
    """Its numbers fall below the notice's end, its timestamps go on: nothing of it is late."""
    bench = Bench()
    bench.hear("agent", 1)
    for number in range(490, 501):
        bench.hear("caller", number)
    bench.play("caller")
    bench.play("agent")
    again = [65536 + number for number in range(3)]
    heard = [bench.hear("caller", number) for number in [501, *again]]
    bench.permit("caller", "agent")
    assert None not in heard
    assert bench.kept("caller") == [501, *again]
