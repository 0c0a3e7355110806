"""Framing: the same messages whatever the pieces, nothing hidden in a message, bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.sip.errors import SipError
from onrecord.sip.message import END_OF_HEAD, MAX_MESSAGE, parse
from onrecord.sip.stream import PING, Framer
from unit.sip.test_endpoint import request


def message(
    length_line: str = "Content-Length: {n}", body: bytes = b"", method: str = "INFO"
) -> bytes:
    """A whole message as it stands in a stream."""
    return request(method, more=length_line.format(n=len(body)) + "\r\n") + body


def fed(octets: bytes, cuts: list[int]) -> tuple[list[bytes], Framer]:
    """Feed the octets in pieces cut at these places."""
    framer, messages, start = Framer(), [], 0
    for end in [*sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]:
        messages += framer.receive(octets[start:end])
        start = end
    return messages, framer


LENGTH_LINES = st.sampled_from(
    [
        "Content-Length: {n}",
        "l:{n}",
        "Content-Length :{n}",
        "CONTENT-LENGTH:\r\n {n}",
        "L \t:\n\t{n}",
    ]
)
MUTATIONS = (b"", b"\r", b"\n", b" ", b"l:", b"\n ", b"\xa0")
MESSAGES = st.builds(message, LENGTH_LINES, st.binary(max_size=300))
ITEMS = st.one_of(MESSAGES, st.just(PING))


@given(st.lists(ITEMS, max_size=6), st.lists(st.integers(min_value=0), max_size=30))
def test_any_pieces_give_the_same_messages(items: list[bytes], cuts: list[int]) -> None:
    """However the network cuts a stream, its messages and pings come out whole and in order."""
    messages, framer = fed(b"".join(items), cuts)
    assert messages == items
    assert framer.fault is None
    assert not framer.is_inside


@given(st.binary(max_size=2000), st.lists(st.integers(min_value=0), max_size=20))
def test_noise_gives_the_same_whatever_the_pieces(octets: bytes, cuts: list[int]) -> None:
    """Random octets never raise, and mean the same in one piece and in many."""
    whole, one = fed(octets, [])
    pieces, many = fed(octets, cuts)
    assert whole == pieces
    assert (one.fault is None) == (many.fault is None)


@given(st.data())
def test_mutated_streams_are_framed_as_they_are_parsed(data: st.DataObject) -> None:
    """No message hides in another: what is cut out is read to its last octet, or refused."""
    octets = bytearray(message(body=message(body=b"x" * 20)) + message())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(octets) - 1))
        octets[place : place + 1] = data.draw(
            st.sampled_from([b"", b"\r", b"\n", b" ", b"l:", b"\n "])
        )
    for cut in Framer().receive(bytes(octets)):
        end = END_OF_HEAD.search(cut)
        assert end is not None
        try:
            read = parse(cut)
        except SipError:
            continue
        assert read.body == cut[end.end() :]


@pytest.mark.parametrize(
    "length_line",
    [
        "Subject: none",
        "Content-Length: 0\r\nContent-Length: 0",
        "Content-Length: 0\r\nl: 5",
        "Content-Length: -1",
        "Content-Length: 1e3",
        "Content-Length: 5, 5",
        "Content-Length: 70000",
        "Content-Length:",
    ],
)
def test_a_doubtful_length_ends_the_stream(length_line: str) -> None:
    """§18.3: without one clear Content-Length nobody knows where the next message begins."""
    framer = Framer()
    assert framer.receive(message() + message(length_line) + message()) == [message()]
    assert framer.fault is not None
    assert framer.receive(message()) == []


def test_a_message_that_never_ends_is_cut_off() -> None:
    """No more than one message's worth is kept, and then the stream is given up."""
    framer = Framer()
    for _ in range(MAX_MESSAGE // 1000):
        assert framer.receive(b"INVITE sip:a" + b"x" * 988) == []
        assert framer.is_inside
    assert framer.fault is None
    framer.receive(b"x" * 1000)
    assert framer.fault is not None
    assert framer.fault.reason == "too_large"
    assert not framer.is_inside


def test_line_ends_alone_are_no_message() -> None:
    """Single line ends before a message are skipped (§7.5); four octets of them are a ping."""
    framer = Framer()
    assert framer.receive(b"\r\n") == []
    assert framer.receive(message()) == [message()]
    assert framer.receive(b"\r") == []
    assert framer.receive(b"\n\r\n") == [PING]
    assert not framer.is_inside
