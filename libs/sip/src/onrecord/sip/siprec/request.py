"""RFC 7866 §9.2: the body by which a recording server asks for a complete metadata snapshot."""

from __future__ import annotations

from onrecord.sip.multipart import Part

SNAPSHOT_REQUEST_TYPE = "application/rs-metadata-request"
MAX_REASON = 200


def snapshot_request(reason: str) -> Part:
    """Return the headers and the body of the UPDATE; there must be no SDP in it.

    `reason` is for the client's log: one line, longer ones are cut. The client answers in a
    transaction of its own, so the 200 to the UPDATE says only that the request has arrived.
    """
    line = " ".join(reason.split())[:MAX_REASON]
    headers = (
        ("Content-Disposition", "recording-session"),
        ("Content-Type", SNAPSHOT_REQUEST_TYPE),
    )
    return Part(headers, f"{line}\r\n".encode("utf-8", "replace"))
