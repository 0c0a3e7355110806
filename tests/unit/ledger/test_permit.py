"""Permits: signed once, checked offline, refused for the slightest change."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from onrecord.ledger.errors import PermitError
from onrecord.ledger.keys import key_id
from onrecord.ledger.permit import (
    Permit,
    Position,
    SignedPermit,
    check_first_use,
    decode,
    encode,
    sign,
    verify,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
ISSUED = datetime(2026, 3, 1, 9, 30, 0, 250, tzinfo=UTC)


def permit(**changes: object) -> Permit:
    """Make a permit of a two-party call, with `changes`."""
    base = Permit(
        permit_id="c1:p0",
        call="c1",
        legs={
            "caller": Position(ssrc=0xFFFFFFFF, sequence=0x1_0007, timestamp=160),
            "agent": None,
            "service-caller": None,
            "service-agent": None,
        },
        parties=("caller", "agent"),
        pack="uk/1",
        entries=("c1:notice.given:caller:0", "c1:notice.given:agent:0"),
        audience="media-1",
        issued_at=ISSUED,
        not_after=ISSUED + timedelta(seconds=30),
        key_id=key_id(PUBLIC),
    )
    return dataclasses.replace(base, **changes)


def test_round_trip() -> None:
    """A verified permit equals the one that was signed."""
    assert verify(sign(permit(), KEY), PUBLIC) == permit()


def test_signing_is_deterministic() -> None:
    """A retry gives identical bytes, so a permit has one spelling and one signature."""
    assert sign(permit(), KEY) == sign(permit(), KEY)


@given(st.integers(min_value=0), st.integers(0, 7))
def test_any_flipped_bit_of_the_payload_is_refused(place: int, bit: int) -> None:
    """No bit of the payload may change under its signature."""
    signed = sign(permit(), KEY)
    payload = bytearray(signed.payload)
    payload[place % len(payload)] ^= 1 << bit
    with pytest.raises(PermitError) as caught:
        verify(SignedPermit(bytes(payload), signed.signature), PUBLIC)
    assert caught.value.reason == "bad_signature"


@given(st.binary(max_size=200))
def test_foreign_signatures_are_refused(signature: bytes) -> None:
    """Bytes of any length in the signature's place are refused and never crash the check."""
    with pytest.raises(PermitError, match="bad_signature"):
        verify(SignedPermit(sign(permit(), KEY).payload, signature), PUBLIC)


def test_another_key_is_refused() -> None:
    """A permit of another ledger does not open this recorder's gate."""
    theirs = sign(permit(key_id=key_id(OTHER.public_key())), OTHER)
    with pytest.raises(PermitError, match="bad_signature"):
        verify(theirs, PUBLIC)


def test_a_key_id_that_is_not_the_signers_is_refused() -> None:
    """The key id inside must name the key that signed."""
    with pytest.raises(PermitError, match="unknown_key"):
        sign(permit(key_id="00000000"), KEY)
    payload = encode(permit(key_id="00000000"))
    with pytest.raises(PermitError, match="unknown_key"):
        verify(SignedPermit(payload, KEY.sign(payload)), PUBLIC)


@given(st.binary(max_size=300))
def test_decoding_garbage_gives_a_clear_error(payload: bytes) -> None:
    """The parser answers any bytes with `malformed` and nothing else."""
    with pytest.raises(PermitError) as caught:
        decode(payload)
    assert caught.value.reason == "malformed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.sampled_from([field.name for field in dataclasses.fields(Permit)]), JSON)
def test_any_member_of_another_shape_is_malformed_or_means_itself(
    member: str, value: object
) -> None:
    """Whatever stands in a member, decoding either refuses it or reads exactly what was written."""
    document = json.loads(encode(permit()))
    document[member] = value
    try:
        payload = json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
        read = decode(payload)
    except UnicodeEncodeError:
        return
    except PermitError:
        return
    assert encode(read) == payload


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"legs": {}}, "legs"),
        ({"legs": {"somebody": None}}, "legs"),
        ({"legs": {"caller": Position(1, -1, 0)}}, "legs.caller.sequence"),
        ({"legs": {"caller": Position(1 << 32, 0, 0)}}, "legs.caller.ssrc"),
        ({"legs": {"caller": Position(1, 0, 1 << 32)}}, "legs.caller.timestamp"),
        ({"parties": ("caller", "caller")}, "parties"),
        ({"parties": ("bystander",)}, "parties"),
        ({"entries": ()}, "entries"),
        ({"pack": ""}, "pack"),
        ({"issued_at": ISSUED.replace(tzinfo=None)}, "zone"),
        ({"not_after": ISSUED - timedelta(seconds=1)}, "not_after"),
    ],
)
def test_a_permit_that_could_not_be_read_is_not_signed(
    change: dict[str, object], says: str
) -> None:
    """Signing refuses what verifying would refuse, and names the member."""
    with pytest.raises(PermitError, match=says):
        sign(permit(**change), KEY)


def test_repeated_members_and_other_spellings_are_malformed() -> None:
    """One permit has one spelling: no repeated member, no blank, no other order."""
    payload = encode(permit())
    for bad in (
        payload[:-1] + b',"pack":"de/1"}',
        b" " + payload,
        payload.replace(b'":', b'": ', 1),
        b"[]",
        b"[" * 60_000,
    ):
        with pytest.raises(PermitError, match="malformed"):
            decode(bad)


def test_an_oversized_payload_is_not_parsed() -> None:
    """The size cap comes before any parsing."""
    with pytest.raises(PermitError, match="octets"):
        decode(b"{" * 70_000)


@pytest.mark.parametrize(
    ("call", "node", "after", "reason"),
    [
        ("c2", "media-1", 0, "other_call"),
        ("c1", "media-2", 0, "other_audience"),
        ("c1", "media-1", 33, "expired"),
        ("c1", "media-1", -3, "not_yet_valid"),
    ],
)
def test_first_use_is_bound_to_call_node_and_time(
    call: str, node: str, after: float, reason: str
) -> None:
    """A permit opens one call's gate, at one node, in its time."""
    with pytest.raises(PermitError) as caught:
        check_first_use(permit(), call=call, node=node, now=ISSUED + timedelta(seconds=after))
    assert caught.value.reason == reason


def test_first_use_in_time_is_allowed() -> None:
    """In its time a permit holds at its node, or anywhere when its audience is any recorder."""
    check_first_use(permit(), call="c1", node="media-1", now=ISSUED + timedelta(seconds=30))
    check_first_use(permit(audience="*"), call="c1", node="media-9", now=ISSUED)
