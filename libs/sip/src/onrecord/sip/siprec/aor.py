"""RFC 3261 §6 addresses of record as recording clients write them, brought to one spelling."""

from __future__ import annotations

import re

from onrecord.sip.errors import SipError
from onrecord.sip.headers import Address
from onrecord.sip.uri import DEFAULT_PORT, SipUri

_HAS_SCHEME = re.compile(r"(?:sips?|tel):", re.IGNORECASE)
_NUMBER = re.compile(r"\+?[0-9][0-9\-.() ]*\Z")


def normalise(raw: str) -> str:
    """Return `sip:user@host` or `tel:number`, or the text itself where it is no address.

    A missing scheme is supplied; display names, parameters (`;user=phone`), headers, passwords and
    the default port are taken away; host and scheme are in lower case. Never raises.
    """
    text = raw.strip()
    try:
        if "<" in text:
            uri = Address.parse(text).uri
        elif _HAS_SCHEME.match(text):
            uri = SipUri.parse(text)
        elif "@" in text:
            uri = SipUri.parse(f"sip:{text}")
        elif _NUMBER.match(text):
            return f"tel:{SipUri('', user=text).number}"
        else:
            return text
    except SipError:
        return text
    if uri.scheme not in ("sip", "sips"):
        return f"{uri.scheme}:{uri.number}" if uri.scheme == "tel" else text
    user = uri.user.partition(":")[0].partition(";")[0]
    port = f":{uri.port}" if uri.port not in (None, DEFAULT_PORT) else ""
    at = "@" if user else ""
    return f"{uri.scheme}:{user}{at}{uri.host.lower()}{port}"
