"""The routes file: what matches first, and what is said about a wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.signalling.routes import Emergency, Route, Routes, RoutesError, load_routes
from onrecord.standalone.routes import routes_text

MINIMAL = """
[peers]
trunk = ["192.0.2.10"]
[[route]]
prefix = ""
to = "sip:192.0.2.20:5070"
[emergency]
numbers = ["112"]
to = "sip:192.0.2.30"
"""

SIPREC = """
[siprec]
gate = "inactive"
purposes = ["quality"]
[[siprec.notice]]
notice = "terms"
version = "2026-01"
parties = ["caller"]
method = "written"
language = "en-GB"
acts = ["recorded"]
purposes = ["quality"]
[[siprec.notice]]
notice = "greeting"
version = "4"
parties = ["caller", "agent"]
method = "prompt"
systems = ["ivr"]
language = "en-GB"
acts = ["recorded", "monitored"]
purposes = ["quality", "training"]
"""


def load(folder: Path, text: str) -> Routes:
    """Write and read a routes file."""
    path = folder / "routes.toml"
    path.write_text(text, encoding="utf-8")
    return load_routes(path)


@pytest.fixture
def routes(tmp_path: Path) -> Routes:
    """The file that a new stack gets."""
    return load(tmp_path, routes_text())


@pytest.mark.parametrize("dialled", ["999", "112", "18000", "9999", "9112", "918000"])
def test_emergency_numbers_come_first(routes: Routes, dialled: str) -> None:
    """The whole number after at most one prefix, though a route would match too."""
    assert isinstance(routes.find(dialled), Emergency)


@pytest.mark.parametrize("dialled", ["99", "1120", "99112", "0112", "11", ""])
def test_other_numbers_are_no_emergency(routes: Routes, dialled: str) -> None:
    """More or fewer digits, or a second prefix, is an ordinary call."""
    assert isinstance(routes.find(dialled), Route)


def test_first_matching_prefix_wins(routes: Routes) -> None:
    """9… is the unrecorded route, everything else the recorded line."""
    unrecorded, recorded = routes.find("900"), routes.find("1000")
    assert isinstance(unrecorded, Route)
    assert isinstance(recorded, Route)
    assert (unrecorded.record, unrecorded.line) == (False, "")
    assert (recorded.record, recorded.line, recorded.on_no_permit) == (True, "main", "continue")


def test_a_number_without_a_route_goes_nowhere(tmp_path: Path) -> None:
    """No catch-all route: nothing is guessed."""
    assert load(tmp_path, MINIMAL.replace('prefix = ""', 'prefix = "1"')).find("2") is None


def test_next_hops_are_tried_in_their_order(tmp_path: Path) -> None:
    """One address, or a list; datagrams are taken from each of them."""
    hops = 'to = ["sip:192.0.2.20:5070", "sip:192.0.2.21"]'
    routes = load(tmp_path, MINIMAL.replace('to = "sip:192.0.2.20:5070"', hops))
    found = routes.find("1000")
    assert found is not None
    assert [str(hop) for hop in found.to] == ["sip:192.0.2.20:5070", "sip:192.0.2.21"]
    assert {"192.0.2.20", "192.0.2.21"} <= routes.sources


def test_peers_and_targets_have_any_ip_version_transport_or_name(tmp_path: Path) -> None:
    """IPv6 however it is written, a name that a certificate shows, `sips:` and `;transport=`."""
    text = MINIMAL.replace('"192.0.2.10"', '"[2001:DB8:0::10]", "SBC.example"')
    text = text.replace("sip:192.0.2.20:5070", "sips:[2001:db8::20]")
    routes = load(tmp_path, text.replace("sip:192.0.2.30", "sip:192.0.2.30;transport=tcp"))
    assert routes.peers == {"2001:db8::10", "sbc.example"}
    assert routes.sources == routes.peers | {"2001:db8::20", "192.0.2.30"}
    assert routes.has_names
    assert not load(tmp_path, MINIMAL).has_names


def test_datagrams_are_taken_from_peers_and_targets(tmp_path: Path) -> None:
    """The PBX answers our calls, so its datagrams are read although it is no peer."""
    assert load(tmp_path, MINIMAL).sources == {"192.0.2.10", "192.0.2.20", "192.0.2.30"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('trunk = ["192.0.2.10"]', "", "peers: name who may call"),
        ('"192.0.2.10"', '"192.0.2.300"', "peers.trunk: write an IP address"),
        ('"192.0.2.10"', '"*.example"', "peers.trunk: write an IP address"),
        ("[peers]", "", "peers: there is no [peers]"),
        ('prefix = ""', "prefix = 9", 'route 1.prefix: write it in quotes: "9"'),
        ('prefix = ""', "", "route 1.prefix: is missing"),
        ('prefix = ""', f'prefix = "{"1" * 65}"', "route 1.prefix: write a text"),
        ('prefix = ""', 'prefix = ""\nrecrod = false', "route 1.recrod: unknown key"),
        ('prefix = ""', 'prefix = ""\nrecord = "no"', "route 1.record: write true or false"),
        ('prefix = ""', 'prefix = ""\nnotice = "never"', "route 1.notice: write one of on_answer"),
        ('prefix = ""', 'prefix = ""\non_no_permit = "x"', "write one of continue, refuse"),
        ('prefix = ""', 'prefix = ""\npurposes = ["fun"]', "route 1.purposes: write one of"),
        ("sip:192.0.2.20:5070", "192.0.2.20", "route 1.to"),
        ("sip:192.0.2.20:5070", "sip:192.0.2.20:99999", "route 1.to"),
        ('"sip:192.0.2.20:5070"', "[]", "route 1.to: name one to 8 next hops"),
        ("sip:192.0.2.30", "sip:-pbx.example", "emergency.to: write an IP address"),
        ('numbers = ["112"]', "numbers = []", "emergency.numbers: name them"),
        ("[emergency]", "[emergencies]", "emergencies: unknown key"),
        ("[[route]]", "[route]", "route: write at least one [[route]]"),
        ("[peers]", "[peers", "is not TOML"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, old: str, new: str, words: str) -> None:
    """The error names the file, the key, and what to write."""
    with pytest.raises(RoutesError) as caught:
        load(tmp_path, MINIMAL.replace(old, new))
    assert words in str(caught.value)
    assert "routes.toml" in str(caught.value)


def test_a_line_for_recording_sessions(tmp_path: Path) -> None:
    """None without its table; with it, notices in writing and on others' word are told apart."""
    assert load(tmp_path, MINIMAL).sessions is None
    sessions = load(tmp_path, MINIMAL + SIPREC).sessions
    assert sessions is not None
    assert (sessions.gate, sessions.purposes) == ("inactive", ("quality",))
    published, stated = sessions.notices
    assert (published.is_published, published.systems) == (True, ())
    assert (stated.is_published, stated.systems) == (False, ("ivr",))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('gate = "inactive"', 'gate = "open"', "siprec.gate: write one of memory, inactive"),
        ('gate = "inactive"', "gates = 1", "siprec.gates: unknown key"),
        ('method = "prompt"', 'method = "sung"', "siprec.notice 2.method: write one of"),
        ('systems = ["ivr"]', "", "siprec.notice 2.systems: a written notice"),
        ('method = "prompt"', 'method = "written"', "siprec.notice 2.systems: a written notice"),
        ('systems = ["ivr"]', 'systems = [""]', "must not be empty"),
        ('version = "2026-01"', "", "siprec.notice 1.version: is missing"),
        ('acts = ["recorded"]', "acts = []", "siprec.notice 1.acts: write some of"),
        (
            '"recorded"]\npurposes = ["quality"]',
            '"recorded"]\npurposes = ["fun"]',
            "siprec.notice 1.purposes: write one of",
        ),
        ('parties = ["caller"]', 'parties = ["boss"]', "siprec.notice 1.parties: write one of"),
        ('language = "en-GB"', 'language = ""', "must not be empty"),
        ("[[siprec.notice]]", "[siprec.notice]", "siprec.notice: write it as"),
        ('language = "en-GB"', 'language = "cy-GB"', "language: the line's is en-GB"),
        (
            'gate = "inactive"\npurposes = ["quality"]',
            "",
            "purposes: name all of the line's, training",
        ),
    ],
)
def test_evidence_is_read_strictly(tmp_path: Path, old: str, new: str, words: str) -> None:
    """What a notice says is going to count for people: nothing of it is assumed."""
    text = SIPREC.replace(old, new, 1)
    if new == "[siprec.notice]":
        text = text[: text.rindex("[[siprec.notice]]")]
    with pytest.raises(RoutesError) as caught:
        load(tmp_path, MINIMAL + text)
    assert words in str(caught.value)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    """The error names the variable to set."""
    with pytest.raises(RoutesError, match="ONRECORD_ROUTES"):
        load_routes(tmp_path / "none.toml")


@given(at=st.integers(0, len(MINIMAL)), cut=st.integers(0, 30), noise=st.text(max_size=10))
def test_a_damaged_file_loads_or_is_explained(
    tmp_path_factory: pytest.TempPathFactory, at: int, cut: int, noise: str
) -> None:
    """Whatever stands in the file, there is one class of error."""
    text = MINIMAL[:at] + noise + MINIMAL[at + cut :]
    path = tmp_path_factory.getbasetemp() / "damaged.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        load_routes(path)
    except RoutesError as error:
        assert str(path) in str(error)  # noqa: PT017 - both outcomes are right
