"""What one leg is sent is one continuous RTP stream, whatever it is made of."""

from hypothesis import given
from hypothesis import strategies as st
from onrecord.rtp.packet import Packet, build, parse
from onrecord.rtp.stream import OutboundStream, Sent

SSRC = 0xFEEDFACE


def relayed(
    stream: OutboundStream, sequence: int, timestamp: int, now: float, ssrc: int = 7
) -> Sent | None:
    """Relay one packet of 20 ms through the stream."""
    packet = Packet(0, sequence % 65536, timestamp % 2**32, ssrc, bytes(160))
    return stream.relay(packet, build(packet), 0, now)


def test_prompt_then_relay_then_prompt_is_continuous() -> None:
    """Sequence rises by one, timestamps by the clock, and only the beginnings carry the marker."""
    stream = OutboundStream(SSRC, 65530, 2**32 - 500, 8000)
    sent = [stream.play(0, b"p" * 160, 160, 10 + n * 0.02) for n in range(5)]
    sent += [relayed(stream, 300 + n, 9000 + 160 * n, 10.1 + n * 0.02) for n in range(5)]
    sent += [stream.play(0, b"q" * 160, 160, 10.2 + n * 0.02) for n in range(5)]
    packets = [parse(one.datagram) for one in sent if one]
    assert [one.sequence for one in sent if one] == list(range(65530, 65545))
    assert [packet.sequence for packet in packets] == [n % 65536 for n in range(65530, 65545)]
    assert [(packet.timestamp - packets[0].timestamp) % 2**32 for packet in packets] == [
        160 * n for n in range(15)
    ]
    assert [n for n, packet in enumerate(packets) if packet.marker] == [0, 5, 10]
    assert {packet.ssrc for packet in packets} == {SSRC}


def test_uneven_ticks_do_not_show_in_a_prompt() -> None:
    """Frames of a prompt are 160 apart in timestamp although they were sent unevenly."""
    stream = OutboundStream(SSRC, 0, 0, 8000)
    sent = [stream.play(0, b"p" * 160, 160, now) for now in (1.0, 1.023, 1.041, 1.06)]
    assert [one.timestamp for one in sent] == [0, 160, 320, 480]


def test_pause_is_seen_in_timestamps() -> None:
    """After silence the next prompt's timestamp has moved on by the clock, its sequence by one."""
    stream = OutboundStream(SSRC, 0, 0, 8000)
    first = stream.play(0, bytes(160), 160, 1.0)
    stream.pause()
    second = stream.play(0, bytes(160), 160, 3.0)
    assert (second.sequence - first.sequence, second.timestamp - first.timestamp) == (1, 16000)


def test_gaps_and_reordering_pass_through() -> None:
    """Within one source the distances between packets stay as they came, over a wrap too."""
    stream = OutboundStream(SSRC, 10, 0, 8000)
    order = (65534, 65536, 65535, 65540)
    sent = [relayed(stream, n, 160 * n, 1 + n * 0.001) for n in order]
    assert [one.sequence for one in sent if one] == [10 + n - 65534 for n in order]


def test_late_packet_from_before_the_takeover_is_not_sent() -> None:
    """A packet whose number the prompt had already is dropped, not sent as a duplicate."""
    stream = OutboundStream(SSRC, 0, 0, 8000)
    stream.play(0, bytes(160), 160, 1.0)
    assert relayed(stream, 500, 8000, 1.02) is not None
    assert relayed(stream, 499, 7840, 1.021) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["play", "relay", "pause"]), st.integers(1, 3), st.integers(0, 65535)
        ),
        max_size=60,
    )
)
def test_no_number_is_sent_twice(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is mixed, no two different packets leave under one sequence number."""
    stream, used, now = OutboundStream(SSRC, 0, 0, 8000), set(), 0.0
    seen: set[tuple[int, int]] = set()
    for kind, ssrc, sequence in steps:
        now += 0.02
        if kind == "pause":
            stream.pause()
            continue
        if kind == "relay" and (ssrc, sequence) in seen:
            continue
        seen.add((ssrc, sequence))
        sent = (
            stream.play(0, b"", 160, now)
            if kind == "play"
            else relayed(stream, sequence, 0, now, ssrc)
        )
        if sent:
            assert sent.sequence not in used
            used.add(sent.sequence)
