"""RFC 3263: which records are asked for, and in which order what they say is tried."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from onrecord.sip.hop import Hop
from onrecord.sip.location import (
    Pointer,
    Service,
    asks_for_services,
    hops,
    in_order,
    service_names,
)
from onrecord.sip.uri import SipUri

SEED = Random(3263)  # noqa: S311 - reproducible, not secret


def uri(text: str) -> SipUri:
    """Read a URI."""
    return SipUri.parse(text)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("sip:pbx.example", True),
        ("sips:pbx.example", True),
        ("sip:pbx.example:5060", False),
        ("sip:192.0.2.1", False),
        ("sip:[2001:db8::1]", False),
    ],
)
def test_only_a_name_without_a_port_has_services(text: str, asks: bool) -> None:  # noqa: FBT001
    """§4.2: a port or an address leaves nothing to choose."""
    assert asks_for_services(uri(text)) is asks


def test_the_uri_comes_before_naptr_and_naptr_before_guessing() -> None:
    """§4.1: a transport or `sips:` in the URI, else NAPTR by order and preference, else both."""
    pointers = [
        Pointer(20, 1, "SIP+D2U", "u.example."),
        Pointer(10, 2, "SIP+D2T", "t.example."),
        Pointer(10, 1, "sips+d2t", "s.example."),
        Pointer(1, 1, "E2U+email", "no.example."),
    ]
    assert service_names(uri("sip:pbx.example"), pointers) == [
        ("tls", "s.example."),
        ("tcp", "t.example."),
        ("udp", "u.example."),
    ]
    assert service_names(uri("sip:pbx.example"), []) == [
        ("udp", "_sip._udp.pbx.example"),
        ("tcp", "_sip._tcp.pbx.example"),
    ]
    tcp, tls = uri("sip:pbx.example;transport=tcp"), uri("sips:pbx.example")
    assert service_names(tcp, pointers) == [("tcp", "_sip._tcp.pbx.example")]
    assert service_names(tls, pointers) == [("tls", "_sips._tcp.pbx.example")]


def test_priority_is_strict_and_weight_is_a_chance() -> None:
    """RFC 2782: every one is tried, the lower priority first, three in four by their weight."""
    services = [
        Service("udp", 20, 0, "late", 5060),
        Service("udp", 10, 30, "often", 5060),
        Service("udp", 10, 10, "seldom", 5060),
    ]
    orders = Counter(tuple(one.host for one in in_order(services, SEED)) for _ in range(2000))
    assert set(orders) == {("often", "seldom", "late"), ("seldom", "often", "late")}
    assert 0.65 < orders["often", "seldom", "late"] / 2000 < 0.85


def test_hops_are_services_with_their_addresses() -> None:
    """Groups keep their order; a host without services is its own, at the default port."""
    groups = [[Service("tcp", 1, 0, "a", 5080)], [Service("udp", 1, 0, "b", 5060)]]
    addresses = {"a": ["192.0.2.1", "2001:db8::1"], "pbx.example": ["192.0.2.9"]}
    assert hops(uri("sip:pbx.example"), groups, addresses, SEED) == (
        Hop("tcp", "192.0.2.1", 5080),
        Hop("tcp", "2001:db8::1", 5080),
    )
    assert hops(uri("sips:PBX.example"), [], addresses, SEED) == (Hop("tls", "192.0.2.9", 5061),)
