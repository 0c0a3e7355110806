"""RFC 7865 documents: every form that is read, what is refused and why, and random octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.sip.headers import Headers
from onrecord.sip.siprec import correlation, document, metadata
from onrecord.sip.siprec.aor import normalise
from onrecord.sip.siprec.document import MetadataError
from onrecord.sip.siprec.metadata import NameId, ParticipantSession, ParticipantStream, Snapshot
from unit.siprec.offers import read

RFC = read("rfc7866").raw_metadata
SESSION = "hVpd7YQgRW2nD22h7q60JQ=="


def parse(inside: str, root: str = "recording") -> Snapshot:
    """The snapshot of a document with this inside."""
    return metadata.parse(f"<{root}>{inside}</{root}>".encode())


def test_the_document_of_the_rfc_is_read_whole() -> None:
    """RFC 7865 §9: groups, sessions, names, times and all three associations."""
    snapshot = metadata.parse(RFC)
    (session,) = snapshot.sessions
    assert (snapshot.data_mode, session.id) == ("complete", SESSION)
    assert session.group == snapshot.groups[0].id == "7+OTCyoxTmqmqyA/1weDAg=="
    assert session.sip_session_ids[0].startswith("ab30317f1a784dc48ff824d0d3715d86;")
    assert snapshot.participants[0].names == (
        NameId("sip:bob@biloxi.example.com", "sip:bob@biloxi.example.com", "Bob"),
    )
    assert [stream.label for stream in snapshot.streams] == ["96", "97", "98", "99"]
    assert snapshot.session_recordings[0].associated == "2010-12-16T23:41:07Z"
    assert [p.session for p in snapshot.participant_sessions] == [SESSION, SESSION]
    assert snapshot.participant_streams[1].send == (
        "8zc6e0lYTlWIINA6GR+3ag==",
        "EiXGlc+4TruqqoDaNE76ag==",
    )


@pytest.mark.parametrize(
    ("element", "mode"),
    [
        ("<datamode>partial</datamode>", "partial"),
        ("<dataMode> Partial </dataMode>", "partial"),
        ("<datamode>complete</datamode>", "complete"),
        ("", "complete"),
        ("<datamode>other</datamode>", "complete"),
    ],
)
def test_the_data_mode_has_two_spellings_and_a_default(element: str, mode: str) -> None:
    """RFC 7865's prose, schema and examples differ; complete is the schema's default."""
    assert parse(element).data_mode == mode


def test_the_drafts_form_becomes_the_same_associations() -> None:
    """Who reads a snapshot need not know which year its sender stopped reading drafts."""
    snapshot = parse(
        '<participant id="p" session="s"><aor>1000</aor><send>a</send><recv><id>b</id></recv>'
        "<associate-time>T</associate-time></participant>"
    )
    assert snapshot.participant_sessions == (ParticipantSession("p", "s", "T"),)
    assert snapshot.participant_streams == (ParticipantStream("p", ("a",), ("b",), "T"),)


def test_reasons_stop_times_and_content_types_are_kept() -> None:
    """RFC 7865 §6.3, §6.7, §6.6: a session that ends, a slide stream, a participant who leaves."""
    snapshot = parse(
        '<session session_id="s"><reason>SIP;cause=200</reason><start-time>A</start-time>'
        '<stop-time>B</stop-time></session><stream stream_id="t" session_id="s"><label>1</label>'
        "<content-type>slides</content-type></stream>"
        '<participantsessionassoc participant_id="p" session_id="s">'
        "<disassociate-time>B</disassociate-time></participantsessionassoc>"
    )
    (session,) = snapshot.sessions
    assert (session.reasons, session.start, session.stop) == (("SIP;cause=200",), "A", "B")
    assert snapshot.streams[0].content_type == "slides"
    assert snapshot.participant_sessions[0].disassociated == "B"


def test_objects_without_an_id_are_not_lost() -> None:
    """Their place stands in for it, so a repeated document names them the same."""
    snapshot = parse('<participant><nameID aor="a@b"/></participant><participant/>')
    assert [p.id for p in snapshot.participants] == ["#participant1", "#participant2"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("sip:bob@Biloxi.Example.COM", "sip:bob@biloxi.example.com"),
        ("SIP:bob:secret@b.example:5060;transport=tcp?x=y", "sip:bob@b.example"),
        ("bob@b.example:5070", "sip:bob@b.example:5070"),
        ("sips:bob@b.example", "sips:bob@b.example"),
        ('"Bob" <sip:bob@b.example>;tag=1', "sip:bob@b.example"),
        ("sip:+49305550100@b.example;user=phone", "sip:+49305550100@b.example"),
        ("sip:+49305550100;phone-context=x@b.example", "sip:+49305550100@b.example"),
        ("tel:+49-(30)-5550.100;ext=1", "tel:+49305550100"),
        ("+49 30 5550100", "tel:+49305550100"),
        ("8500", "tel:8500"),
        ("sip:b.example", "sip:b.example"),
        ("anonymous", "anonymous"),
        (" sip:@b.example ", "sip:@b.example"),
        ("<broken", "<broken"),
        ("", ""),
    ],
)
def test_addresses_of_record_have_one_spelling(raw: str, expected: str) -> None:
    """Scheme supplied, parameters, ports and passwords away; what is no address stays as it is."""
    assert normalise(raw) == expected


@given(st.text(max_size=60))
def test_any_text_has_a_normal_form_and_it_stands(raw: str) -> None:
    """Nothing is raised, and whoever normalises twice gets the same."""
    assert normalise(normalise(raw)) == normalise(raw)


@pytest.mark.parametrize(
    "written",
    [
        "00FA080019001038F725B3;encoding=hex",
        "FA080019001038F725B3",
        "0019001038f725b3",
        ' "00FA080019001038F725B3C8010A" ;encoding=hex',
    ],
)
def test_a_ucid_has_one_spelling_whoever_passes_it_on(written: str) -> None:
    """Avaya's eight octets in hex, out of User-to-User, Oracle's or AudioCodes' envelope."""
    (found,) = correlation.from_headers(Headers([("User-To-User", written)]))
    assert (found.kind, found.value) == ("ucid", "0019001038F725B3")


def test_a_correlation_id_says_where_it_stood() -> None:
    """Beside the session, or in an element whose parent is the session (BroadWorks)."""
    (in_session,) = parse('<session id="s"><x:ucid>1</x:ucid></session>').correlation
    assert (in_session.source, in_session.owner) == ("x:ucid", "s")
    (beside,) = parse(
        '<extensiondata id="e" parent="s"><extTrackingID>9</extTrackingID></extensiondata>'
    ).correlation
    assert (beside.kind, beside.value, beside.owner) == ("broadworks_tracking_id", "9", "s")


LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    + "]><recording>&a9;</recording>"
).replace("&a0;", "&a;")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "not_well_formed"),
        (b"hello", "not_well_formed"),
        (b"<recording>", "not_well_formed"),
        (b"<recording a=b/>", "not_well_formed"),
        (b"<recording/>junk", "not_well_formed"),
        (b"<recording>&x;</recording>", "not_well_formed"),
        (b"<recording>\xff</recording>", "not_well_formed"),
        (b"<?xml version='1.0' encoding='nobody-7'?><recording/>", "not_well_formed"),
        (b"<?xml version='1.0' encoding='utf-7'?><recording/>", "not_well_formed"),
        (b"<?xml version='1.0' encoding='idna'?><recording/>", "not_well_formed"),
        (b"<html/>", "unknown_root"),
        (LAUGHS.encode(), "doctype"),
        (b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><recording/>', "doctype"),
        (
            b'<!DOCTYPE r [<!ENTITY x SYSTEM "http://x.test/">]><recording>&x;</recording>',
            "doctype",
        ),
        (b"<a>" * 300_000, "too_large"),
        (b"<recording>" + b"x" * 1_048_576, "too_large"),
        (b"<recording>" + b"<a>" * 50_000, "too_complex"),
        (b"<recording>" + b"<a/>" * 50_000, "too_complex"),
        (b"<recording><session id='" + b"x" * 10_000 + b"'/></recording>", "value_too_long"),
        (b"<recording>" + b"x" * 10_000 + b"</recording>", "value_too_long"),
    ],
)
def test_what_cannot_be_used_is_set_aside_with_a_reason(octets: bytes, reason: str) -> None:
    """One error, no SIP status: the caller keeps the media and the octets."""
    with pytest.raises(MetadataError) as caught:
        metadata.parse(octets)
    assert (caught.value.reason, caught.value.status) == (reason, None)


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n  " + RFC,
        b"\xef\xbb\xbf" + RFC,
        RFC + b"\r\n \n",
        RFC.replace(b'encoding="UTF-8"', b'encoding="iso-8859-1"'),
        RFC.replace(b'encoding="UTF-8"', b"").decode().encode("utf-16"),
        RFC.replace(b"<recording ", b"<Recording ").replace(b"</recording>", b"</Recording>"),
        RFC.replace(b"ns:recording:1", b"ns:somebody:else"),
    ],
)
def test_harmless_differences_read_the_same(octets: bytes) -> None:
    """Blank lines before the declaration, byte order marks, encodings, case, namespaces."""
    assert metadata.parse(octets) == metadata.parse(RFC)


@given(st.binary(max_size=300))
def test_any_octets_give_a_snapshot_or_the_one_error(noise: bytes) -> None:
    """Nothing else is raised."""
    try:
        metadata.parse(noise)
    except MetadataError:
        return


@given(st.binary(max_size=20), st.integers(0, len(RFC)), st.integers(0, 40))
def test_mutated_documents_give_a_snapshot_or_the_one_error(
    noise: bytes, at: int, cut: int
) -> None:
    """The same, near a document that is right; what comes back is within the limits."""
    try:
        snapshot = metadata.parse(RFC[:at] + noise + RFC[at + cut :])
    except MetadataError:
        return
    assert len(snapshot.participant_streams) <= document.MAX_ELEMENTS


@given(
    st.recursive(
        st.text("ab&lt;", max_size=5),
        lambda inside: st.builds(
            lambda tag, key, body: f'<{tag} {key}="x">{"".join(body)}</{tag}>',
            st.sampled_from(["session", "participant", "stream", "send", "x:ucid", "nameID", "id"]),
            st.sampled_from(["id", "session_id", "session", "aor", "parent"]),
            st.lists(inside, max_size=4),
        ),
        max_leaves=30,
    )
)
def test_known_elements_in_any_arrangement_are_read(inside: str) -> None:
    """Well-formed nonsense is no fault: it says little, and raises nothing but the one error."""
    try:
        parse(inside)
    except MetadataError as error:
        assert error.reason in ("not_well_formed", "too_complex")  # noqa: PT017
