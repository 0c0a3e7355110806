"""Who a certificate says that somebody is (RFC 5922)."""

from __future__ import annotations

import pytest
from onrecord.sip.aio.security import certified_names


@pytest.mark.parametrize(
    ("alternatives", "names"),
    [
        ([("DNS", "SBC.Example"), ("DNS", "*.example")], {"sbc.example"}),
        ([("IP Address", "2001:DB8:0:0:0:0:0:1"), ("IP Address", "192.0.2.1")],
         {"2001:db8::1", "192.0.2.1"}),
        ([("URI", "sip:trunk.example"), ("URI", "sips:[2001:db8::2]")],
         {"trunk.example", "2001:db8::2"}),
        ([("URI", "sip:alice@trunk.example"), ("URI", "https://a.example")], set()),
        ([("email", "a@b.example"), ("IP Address", "<invalid>")], set()),
    ],
)  # fmt: skip
def test_only_hosts_in_the_alternative_names_count(
    alternatives: list[tuple[str, str]], names: set[str]
) -> None:
    """No wildcard, no common name, no person."""
    subject = ((("commonName", "sbc.example"),),)
    found = certified_names({"subject": subject, "subjectAltName": tuple(alternatives)})
    assert found == names


def test_no_certificate_names_nobody() -> None:
    """Nor does one without alternative names."""
    assert certified_names(None) == certified_names({}) == frozenset()
