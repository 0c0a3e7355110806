"""Identifiers that vendors put beside RFC 7865 metadata, by which other systems know the call.

Read: Oracle `apkt:ucid` and its copied headers, AudioCodes `ac:AvayaUCID` and `ac:GenesysUUID`,
Ribbon `callData`, BroadWorks `broadWorksRecordingMetadata`, and the headers of the INVITE itself.
Everything else that a vendor adds is passed over here; the raw document keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from onrecord.sip.headers import Headers
from onrecord.sip.siprec.document import Element

_AVAYA_UUI = re.compile(r"(?:00)?FA08([0-9A-F]{16})")
_ELEMENTS = {
    "ucid": "ucid",
    "avayaucid": "ucid",
    "genesysuuid": "genesys_uuid",
    "gcid": "gcid",
    "exttrackingid": "broadworks_tracking_id",
}
_CALL_IDS = {"calldata": "sip_call_id", "broadworksrecordingmetadata": "broadworks_call_id"}
_HEADERS = {
    "user-to-user": "ucid",
    "x-genesys-calluuid": "genesys_uuid",
    "x-twilio-callsid": "twilio_call_sid",
}


@dataclass(frozen=True, slots=True)
class CorrelationId:
    """An identifier: `kind` from a closed vocabulary, `source` the element or header it stood in.

    `owner` is the id of the session, group or participant that held it, empty where none did.
    """

    kind: str
    value: str
    source: str
    owner: str = ""


def from_element(element: Element, owner: str) -> Iterator[CorrelationId]:
    """Yield the known identifiers anywhere below `element`."""
    for child in element.descendants():
        kind = _ELEMENTS.get(child.name)
        if kind and child.text:
            yield CorrelationId(kind, _normal(kind, child.text), child.tag, owner)
        elif child.name in _CALL_IDS and (call_id := child.value("callid")):
            yield CorrelationId(_CALL_IDS[child.name], call_id, child.tag, owner)
        elif child.name == "header" and child.attribute("label").lower() == "call-id":
            value = child.value("value")
            if value:
                yield CorrelationId("sip_call_id", value, child.tag, owner)


def from_headers(headers: Headers) -> Iterator[CorrelationId]:
    """Yield the known identifiers among the headers of a request."""
    for name, value in headers:
        kind = _HEADERS.get(name.lower())
        if kind and value:
            yield CorrelationId(kind, _normal(kind, value), name)


def _normal(kind: str, value: str) -> str:
    """Return one spelling: Avaya's UCID is 8 octets in hex, whatever envelope is left around it."""
    if kind != "ucid":
        return value
    text = value.partition(";")[0].strip().strip('"').upper()
    enveloped = _AVAYA_UUI.match(text)
    return enveloped.group(1) if enveloped else text
