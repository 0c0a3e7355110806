"""Calls on disk: what is read back, what is written at all, what is gone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onrecord.signalling.adapters import kept_calls
from onrecord.signalling.adapters.kept_calls import KeptCalls, decode, encode
from onrecord.signalling.domain.kept import KeptCall
from onrecord.sip.dialog import Dialog
from onrecord.sip.events import LegId
from onrecord.sip.headers import Address
from onrecord.sip.hop import Hop
from onrecord.sip.uri import SipUri

KEY = bytes(32)


def dialog(tag: str = "1") -> Dialog:
    """A confirmed dialog behind two proxies."""
    return Dialog(
        call_id="c1@host",
        local=Address.parse(f'"Queue \\"A\\"" <sip:1000@192.0.2.2>;tag=ours{tag}'),
        remote=Address.parse(f"<sip:+442079460123@192.0.2.1>;tag={tag}"),
        remote_target=SipUri.parse("sip:alice@192.0.2.1:5062;transport=udp"),
        peer=Hop("udp", "192.0.2.9", 5080),
        route_set=[Address.parse("<sip:192.0.2.9;lr>"), Address.parse("<sip:192.0.2.8>")],
        local_cseq=7,
        remote_cseq=None,
    )


CALL = KeptCall(
    call_id="x",
    kind="recorded",
    line="main",
    on_no_permit="continue",
    started_at="2026-11-23T10:00:00.000000Z",
    traceparent="00-1-2-01",
)
TALKING = replace(
    CALL,
    gate="opened",
    media_address="192.0.2.30:7000",
    answered_at="2026-11-23T10:00:05.000000Z",
    dialogs={"caller": dialog(), "agent": dialog("2")},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "dialogs.journal"


def reopened(path: Path) -> list[KeptCall]:
    """What a new process finds; the old one was killed, so it closed nothing."""
    return KeptCalls(path, KEY).all()


def test_the_newest_state_is_read_back(path: Path) -> None:
    """Every field, tags, routes and sequence numbers included."""
    kept = KeptCalls(path, KEY)
    kept.keep(CALL)
    kept.keep(TALKING)
    kept.keep(replace(CALL, call_id="y"))
    assert reopened(path) == [TALKING, replace(CALL, call_id="y")]


def test_the_same_state_is_written_once(path: Path) -> None:
    """Most of what happens in a call changes nothing that must survive."""
    kept = KeptCalls(path, KEY)
    kept.keep(TALKING)
    size = path.stat().st_size
    kept.keep(replace(TALKING, dialogs={"caller": dialog(), "agent": dialog("2")}))
    assert path.stat().st_size == size


def test_a_call_that_is_over_is_gone(path: Path) -> None:
    """With nobody left to hang up, at once."""
    kept = KeptCalls(path, KEY)
    kept.keep(TALKING)
    kept.keep_until_over(replace(CALL, is_over=True), [])
    kept.forget("x")
    assert reopened(path) == []


def test_a_call_waits_for_its_hang_ups(path: Path) -> None:
    """Until both are answered a new process would send them again."""
    kept = KeptCalls(path, KEY)
    over = replace(TALKING, is_over=True)
    kept.keep_until_over(over, [LegId("a"), LegId("b")])
    kept.leg_is_over(LegId("a"))
    kept.leg_is_over(LegId("a"))
    kept.leg_is_over(LegId("other"))
    assert reopened(path) == [over]
    kept = KeptCalls(path, KEY)
    kept.keep_until_over(over, [LegId("a")])
    kept.leg_is_over(LegId("a"))
    assert reopened(path) == []


def test_the_file_stays_small(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """States that are not the newest are dropped from the disk while calls go on."""
    monkeypatch.setattr(kept_calls, "COMPACT_BYTES", 20_000)
    kept = KeptCalls(path, KEY)
    kept.keep(replace(CALL, call_id="long"))
    for number in range(500):
        kept.keep(replace(CALL, call_id=f"c{number}"))
        kept.forget(f"c{number - 2}")
    assert path.stat().st_size < 50_000
    assert {call.call_id for call in reopened(path)} == {"long", "c498", "c499"}


def test_a_full_disk_fails_no_call(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written is logged; what was written stays."""
    kept = KeptCalls(path, KEY)
    kept.keep(CALL)

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        kept.keep(TALKING)
        kept.forget("x")
    assert reopened(path) == [CALL]


def test_a_record_of_another_kind_is_passed_over(path: Path) -> None:
    """A record that another version wrote does not keep this one from starting."""
    kept = KeptCalls(path, KEY)
    kept._journal.append(b'{"dialogs": {}, "version": 2}')
    kept.keep(CALL)
    assert reopened(path) == [CALL]


@given(st.binary(max_size=80) | st.just(encode(TALKING)[:-7]))
def test_any_octets_give_a_call_or_nothing(record: bytes) -> None:
    """Reading raises nothing."""
    assert decode(record) is None


def test_who_can_go_on() -> None:
    """Both parties there, and no media of theirs with us."""
    assert not TALKING.can_go_on
    past_us = replace(TALKING, passes_through=True)
    assert past_us.can_go_on
    assert not replace(past_us, is_over=True).can_go_on
    assert not replace(past_us, dialogs={"agent": dialog()}).can_go_on
    assert past_us.plan().targets == (dialog().remote_target,)
