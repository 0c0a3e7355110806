"""Bodies of several parts: what recording clients send, what is refused, and random octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.sip import multipart
from onrecord.sip.headers import Headers
from onrecord.sip.multipart import MultipartError, Part

SDP = Part((("Content-Type", "application/sdp"),), b"v=0\r\ns=-\r\n")
XML = Part(
    (
        ("Content-Type", "application/rs-metadata+xml"),
        ("Content-Disposition", "recording-session;handling=required"),
    ),
    b"<recording/>",
)
PLAIN = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n"
TOKENS = st.text("abcXYZ019-_.", min_size=1, max_size=12)
VALUES = st.text("abc ;=/+\"'<>é", max_size=20).map(str.strip)
PARTS = st.lists(
    st.builds(
        Part,
        st.lists(st.tuples(TOKENS.map(lambda name: f"X-{name.lower()}"), VALUES), max_size=4).map(
            lambda items: tuple(_canonical(items))
        ),
        st.binary(min_size=1, max_size=60).filter(lambda body: bool(body.strip())),
    ),
    min_size=1,
    max_size=5,
)


def _canonical(items: list[tuple[str, str]]) -> list[tuple[str, str]]:
    headers = Headers()
    for name, value in items:
        headers.add(name, value)
    return list(headers)


def read(body: bytes, content_type: str = "multipart/mixed;boundary=b") -> tuple[Part, ...]:
    """The parts of a body under this Content-Type."""
    return multipart.read(Headers([("Content-Type", content_type)]), body)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/mixed;boundary=b",
        'multipart/mixed; boundary="b"',
        "Multipart/Mixed ; charset=utf-8; BOUNDARY=b",
        "MULTIPART/RELATED;boundary=b",
    ],
)
def test_the_boundary_is_found_however_it_is_written(content_type: str) -> None:
    """Quoted or bare, in any case, among other parameters, in any multipart subtype."""
    (part,) = read(PLAIN, content_type)
    assert (part.media_type, part.body) == ("application/sdp", b"v=0")


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n" + PLAIN,
        b"  \r\nThis is a preamble.\r\n" + PLAIN,
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.replace(b"Content-Type: ", b"content-type:"),
        PLAIN.replace(b"Content-Type", b"c"),
        PLAIN.replace(b"Content-Type: ", b"Content-Type:\r\n  "),
        PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 9999\r\n\r\n"),
        PLAIN.replace(b"\r\n\r\n", b"\r\nno header at all\r\n\r\n"),
        PLAIN.replace(b"--b\r\n", b"--b  \t\r\n"),
        PLAIN.removesuffix(b"--b--\r\n"),
        PLAIN.removesuffix(b"--\r\n") + b"\r\n",
        PLAIN + b"epilogue\r\n--b\r\nContent-Type: text/plain\r\n\r\nignored",
    ],
)
def test_sloppy_bodies_have_the_same_part(body: bytes) -> None:
    """What BroadWorks, SEMS and others get wrong costs nothing."""
    (part,) = read(body)
    assert (part.media_type, part.body) == ("application/sdp", b"v=0")


def test_a_body_that_is_no_multipart_is_one_part() -> None:
    """The message's own headers are the part's; an empty body has no part."""
    (part,) = read(b"v=0\r\n", "application/SDP;x=1")
    assert (part.media_type, part.body) == ("application/sdp", b"v=0\r\n")
    assert read(b" \r\n") == ()


def test_a_multipart_in_a_multipart_is_flattened_once() -> None:
    """One level is taken apart; what stands deeper stays one unread part."""
    deep = Part((("Content-Type", multipart.content_type("c")),), multipart.write([XML], "c"))
    middle = Part(
        (("Content-Type", multipart.content_type("m")),), multipart.write([SDP, deep], "m")
    )
    assert read(multipart.write([middle, XML], "b")) == (SDP, deep, XML)


def test_only_a_required_unknown_part_is_refused() -> None:
    """RFC 3261 §20.11: 415 for `handling=required`; an optional or silent one is passed over."""
    parts = read(multipart.write([SDP, XML], "b"))
    multipart.refuse_unknown(parts, lambda part: part.disposition == "recording-session")
    with pytest.raises(MultipartError, match="unsupported_part") as caught:
        multipart.refuse_unknown(parts, lambda part: part.media_type == "application/sdp")
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("content_type", "body", "reason", "status"),
    [
        ("multipart/mixed", PLAIN, "no_boundary", 400),
        ("multipart/mixed;boundary=" + "b" * 201, PLAIN, "no_boundary", 400),
        ("multipart/mixed;boundary=other", PLAIN, "no_parts", 400),
        ("multipart/mixed;boundary=b", b"--b\r\nx\r\n" * 20, "too_many_parts", 413),
        ("multipart/mixed;boundary=b", b"--b\r\n" * 200_000, "body_too_large", 413),
        ("multipart/mixed;boundary=b", b"--b\n" * 100_000, "too_many_parts", 413),
        ("multipart/mixed;boundary=b", b"--b\nA:" + b"x" * 9_000, "part_head_too_large", 413),
        ("multipart/mixed;boundary=b", b"--b\n" + b"A:x\n" * 40, "too_many_headers", 413),
    ],
)
def test_each_refusal_has_its_reason(
    content_type: str, body: bytes, reason: str, status: int
) -> None:
    """Limits are checked before the work that they bound."""
    with pytest.raises(MultipartError, match=reason) as caught:
        read(body, content_type)
    assert caught.value.status == status


@given(PARTS)
def test_what_is_written_reads_back_the_same(parts: list[Part]) -> None:
    """Part headers and octets survive, in their order."""
    assert read(
        multipart.write(parts, "unlikely-7"), multipart.content_type("unlikely-7")
    ) == tuple(parts)


@pytest.mark.parametrize("part", [Part((), b"a\r\n--b"), Part((("X-A", "1\r\nX-B: 2"),), b"a")])
def test_nothing_is_written_that_would_read_back_differently(part: Part) -> None:
    """A boundary in a part or a line break in a header is our own fault, and not sent."""
    with pytest.raises(MultipartError) as caught:
        multipart.write([part], "b")
    assert caught.value.status is None


@given(st.text(max_size=40), st.binary(max_size=300))
def test_any_octets_give_parts_or_the_one_error(parameters: str, noise: bytes) -> None:
    """The parser raises one class only, and no more parts come back than the limit."""
    try:
        assert len(read(noise, f"multipart/mixed;boundary={parameters}")) <= multipart.MAX_PARTS
    except MultipartError:
        return


@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 20))
def test_mutated_bodies_give_parts_or_the_one_error(noise: bytes, at: int, cut: int) -> None:
    """The same, near a body that is right."""
    body = multipart.write([SDP, XML], "b")
    try:
        parts = read(body[:at] + noise + body[at + cut :])
    except MultipartError:
        return
    assert all(
        isinstance(part.media_type, str) and isinstance(part.is_required, bool) for part in parts
    )
