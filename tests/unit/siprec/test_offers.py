"""Offers as the RFCs print them and as vendors send them: each read, answered and understood."""

from __future__ import annotations

import hashlib
import tomllib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.sip import multipart, sdp
from onrecord.sip.errors import SipError
from onrecord.sip.headers import Headers
from onrecord.sip.message import Request
from onrecord.sip.multipart import MultipartError
from onrecord.sip.sdp import SdpError
from onrecord.sip.siprec import description, offer
from onrecord.sip.siprec.description import AnsweredLine
from onrecord.sip.siprec.offer import RecordingOffer
from onrecord.sip.siprec.state import RecordingState, Resolution
from unit.siprec.offers import FOLDER, parsed, read, recorder, request

EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))
CUBE = (FOLDER / "cube.sip").read_bytes()


def state(read: RecordingOffer) -> RecordingState:
    """What is known after this one offer."""
    return RecordingState().merge(read.snapshot, 5.0) if read.snapshot else RecordingState()


def answered(line: AnsweredLine) -> str:
    """A line of the table."""
    codecs = "".join(f" {codec.payload_type}={codec.name}" for codec in line.codecs)
    return f"{line.direction}{codecs}" if line.port else "-"


def heard(line: Resolution) -> str:
    """A line of the table."""
    return f"{'+'.join(participant.aor for participant in line.participants)} {line.confidence}"


@pytest.mark.parametrize("name", EXPECTED)
def test_every_offer_is_taken(name: str) -> None:
    """Read as a recording session, answered line by line, the parties named as the table says."""
    expected = EXPECTED[name]
    assert offer.is_recording_session(request(name))
    taken = read(name)
    assert (taken.metadata, taken.fault) == (expected["metadata"], expected.get("fault", ""))
    answer = description.build_answer(taken.media, recorder(taken))
    assert [line.label for line in answer.lines] == expected["labels"]
    assert [answered(line) for line in answer.lines] == expected["answers"]
    known = state(taken)
    assert [heard(line) for line in known.resolve(expected["labels"])] == expected["heard"]
    ids = {f"{i.kind} {i.value}" for i in (*known.correlation, *taken.correlation)}
    assert sorted(ids) == expected["ids"]
    calling = [p.aor for p in known.participants.values() if p.calling]
    assert calling == expected.get("calling", [])


@pytest.mark.parametrize("name", EXPECTED)
def test_the_answer_reads_back_in_the_places_of_the_offer(name: str) -> None:
    """RFC 3264 §6: as many m-lines, of the same kinds, each with its label."""
    taken = read(name)
    answer = description.build_answer(taken.media, recorder(taken))
    back = description.parse(answer.body)
    assert [line.media.kind for line in back] == [line.media.kind for line in taken.media]
    assert [line.media.port for line in back] == [line.port for line in answer.lines]
    assert [x.label for x in back if x.media.port] == [x.label for x in answer.lines if x.port]
    assert sdp.parse(answer.body).audio.address == "198.51.100.10"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_closed_gate_answers_inactive_everywhere(name: str) -> None:
    """RFC 7866 §7.2: not allowed to record yet, so nothing may be sent to us."""
    taken = read(name)
    answer = description.build_answer(taken.media, recorder(taken, gate="inactive"))
    assert {line.direction for line in answer.lines} == {"inactive"}
    assert any(line.port for line in answer.lines)


def test_each_file_has_its_row() -> None:
    """No offer without an expectation, and none the other way round."""
    assert {path.stem for path in FOLDER.glob("*.sip")} == set(EXPECTED)


@given(st.sampled_from(sorted(EXPECTED)), st.randoms())
def test_the_order_of_the_parts_does_not_matter(name: str, random: Random) -> None:
    """BroadWorks sends metadata first; whatever the order, our writer's body is read the same."""
    original = request(name)
    parts = list(multipart.read(original.headers, original.body))
    random.shuffle(parts)
    headers = Headers(list(original.headers))
    headers.set("Content-Type", multipart.content_type("written-by-us"))
    body = multipart.write(parts, "written-by-us")
    assert offer.read(Request("INVITE", original.uri, headers, body)) == offer.read(original)


def test_broken_metadata_keeps_its_octets_and_their_hash() -> None:
    """RFC 7866 §9.2 lets a server end the session; ours keeps the media and the evidence."""
    taken = read("oracle_unquoted")
    assert taken.snapshot is None
    assert b"apkt:ucid" in taken.raw_metadata
    assert taken.digest == hashlib.sha256(taken.raw_metadata).hexdigest()
    assert description.recordable(taken.media) == (0, 1)


def test_an_unknown_part_is_refused_only_if_it_is_required() -> None:
    """415 for what the client insists on; application/gtd with handling=optional is no matter."""
    insisting = parsed(CUBE.replace(b"signal;handling=optional", b"signal;handling=required"))
    with pytest.raises(MultipartError, match="unsupported_part") as caught:
        offer.read(insisting)
    assert caught.value.status == 415


def test_an_update_of_metadata_alone_has_no_media() -> None:
    """RFC 7866 §9.1: an UPDATE may bring metadata without SDP."""
    body = CUBE[
        CUBE.index(b"<?xml") : CUBE.index(b"\r\n\r\n--uniqueBoundary\r\nContent-Disposition: sig")
    ]
    head = CUBE[: CUBE.index(b"Content-Type")].replace(b"INVITE", b"UPDATE")
    update = parsed(head + b"Content-Type: application/rs-metadata+xml\r\n\r\n" + body)
    taken = offer.read(update)
    assert (taken.media, taken.metadata, taken.snapshot) == ((), "present", read("cube").snapshot)


def test_a_metadata_part_alone_makes_a_recording_session() -> None:
    """Real clients send less than the RFC asks for; any one sign is enough."""
    bare = CUBE.replace(b"Require: siprec\r\n", b"").replace(b";+sip.src", b"")
    assert offer.is_recording_session(parsed(bare))
    no_metadata = bare.replace(b"rs-metadata+xml", b"x").replace(b"recording-session", b"render")
    assert not offer.is_recording_session(parsed(no_metadata))
    assert not offer.is_recording_session(parsed(bare.replace(b"boundary=", b"nothing=")))


@pytest.mark.parametrize(
    ("contact", "require", "expected"),
    [
        (b"", b"", False),
        (b";+sip.src", b"", True),
        (b";src", b"", True),
        (b';+sip.src="FALSE"', b"", False),
        (b"", b"Require: timer, SIPREC\r\n", True),
        (b"", b"Supported: siprec\r\n", False),
    ],
)
def test_a_plain_call_is_told_apart(contact: bytes, require: bytes, *, expected: bool) -> None:
    """An INVITE with SDP alone is a recording session by its headers, or an ordinary call."""
    plain = (FOLDER / "cisco_nbr.sip").read_bytes()
    plain = plain.replace(b';+sip.src="TRUE"', contact).replace(
        b"User-Agent", require + b"User-Agent"
    )
    assert offer.is_recording_session(parsed(plain)) is expected


def test_an_unreadable_description_is_answered_488() -> None:
    """Bad SDP is the one thing that cannot be recorded."""
    with pytest.raises(SdpError):
        offer.read(parsed(CUBE.replace(b"v=0", b"x=0")))


@given(
    st.sampled_from(sorted(EXPECTED)), st.binary(max_size=30), st.integers(0), st.integers(0, 60)
)
def test_mutated_offers_are_taken_or_refused_with_one_error(
    name: str, noise: bytes, at: int, cut: int
) -> None:
    """Whatever happens to a body: an offer that can be answered and merged, or a `SipError`."""
    original = request(name)
    at %= len(original.body)
    body = original.body[:at] + noise + original.body[at + cut :]
    mutated = Request("INVITE", original.uri, original.headers, body)
    offer.is_recording_session(mutated)
    try:
        taken = offer.read(mutated)
        known = state(taken)
    except SipError as error:
        assert error.reason  # noqa: PT017
        return
    answer = description.build_answer(taken.media, recorder(taken))
    assert len(known.resolve([line.label for line in answer.lines])) == len(taken.media)
    assert (taken.snapshot is not None) == (taken.metadata == "present")
    assert bool(taken.fault) == (taken.metadata == "quarantined")
