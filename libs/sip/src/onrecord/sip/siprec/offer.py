"""RFC 7866 §6 and §9: is a request about a recording session, and what does it bring.

The RFC asks a client for `Require: siprec` and `+sip.src`; real ones send less, so any one sign is
enough. Broken metadata never costs the recording: it is set aside with its octets and their hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from onrecord.sip import multipart
from onrecord.sip.message import Request
from onrecord.sip.multipart import MultipartError, Part
from onrecord.sip.siprec import correlation, description, metadata
from onrecord.sip.siprec.correlation import CorrelationId
from onrecord.sip.siprec.description import RecordedMedia
from onrecord.sip.siprec.document import MetadataError
from onrecord.sip.siprec.metadata import Snapshot

METADATA_TYPES = ("application/rs-metadata+xml", "application/rs-metadata")
SDP_TYPE = "application/sdp"
_FEATURE_TAGS = ("+sip.src", "src")

MetadataPresence = Literal["present", "absent", "quarantined"]


@dataclass(frozen=True, slots=True)
class RecordingOffer:
    """What an INVITE, re-INVITE or UPDATE of a recording session brings.

    `media` is empty where there is no SDP: a delayed offer, or an update of metadata only.
    `snapshot` is there exactly if `metadata` is `present`. `raw_metadata` are the octets as they
    came, `digest` their SHA-256 in hex, and `fault` says why a quarantined document could not be
    read. `correlation` holds the identifiers of the request's own headers.
    """

    media: tuple[RecordedMedia, ...]
    metadata: MetadataPresence
    snapshot: Snapshot | None = None
    raw_metadata: bytes = b""
    digest: str = ""
    fault: str = ""
    correlation: tuple[CorrelationId, ...] = ()


def is_recording_session(request: Request) -> bool:
    """Whether a request is of a recording session: by option tag, feature tag or metadata part.

    This identifies, it does not authenticate: whoever may reach the server can claim it.
    """
    if any(tag.lower() == "siprec" for tag in request.headers.values("Require")):
        return True
    for name, value in request.contact.parameters if request.contact else ():
        if name in _FEATURE_TAGS and (value or "").strip('"').upper() != "FALSE":
            return True
    try:
        return _metadata_part(multipart.read(request.headers, request.body)) is not None
    except MultipartError:
        return False


def read(request: Request) -> RecordingOffer:
    """Take a request of a recording session apart.

    Raises `MultipartError` for a body that cannot be taken apart or demands an unknown part (400,
    413, 415), `SdpError` for an unreadable description (488), and nothing for broken metadata.
    """
    parts = multipart.read(request.headers, request.body)
    multipart.refuse_unknown(parts, _is_known)
    sdp = next((part.body for part in parts if part.media_type == SDP_TYPE), None)
    media = description.parse(sdp) if sdp is not None else ()
    identifiers = tuple(correlation.from_headers(request.headers))
    part = _metadata_part(parts)
    if part is None:
        return RecordingOffer(media, "absent", correlation=identifiers)
    digest = hashlib.sha256(part.body).hexdigest()
    try:
        snapshot = metadata.parse(part.body)
    except MetadataError as error:
        return RecordingOffer(
            media, "quarantined", None, part.body, digest, error.reason, identifiers
        )
    return RecordingOffer(media, "present", snapshot, part.body, digest, "", identifiers)


def _is_known(part: Part) -> bool:
    return part.media_type == SDP_TYPE or _is_metadata(part)


def _is_metadata(part: Part) -> bool:
    """By media type, or by disposition where a client or a proxy has mangled the type."""
    if part.media_type == SDP_TYPE:
        return False
    return part.media_type in METADATA_TYPES or part.disposition == "recording-session"


def _metadata_part(parts: Iterable[Part]) -> Part | None:
    return next((part for part in parts if _is_metadata(part)), None)
