"""The errors of this package: each names its reason by a closed slug."""

from typing import ClassVar


class RtpError(Exception):
    """Base of every error raised by `onrecord.rtp`; the same bytes always fail again."""

    reason: ClassVar[str] = "rtp"


class MalformedPacket(RtpError):
    """A datagram is not an RTP packet (RFC 3550 §5.1)."""

    reason = "malformed_packet"


class MalformedEvent(RtpError):
    """A payload is not a telephone event (RFC 4733 §2.3)."""

    reason = "malformed_event"


class MalformedUnit(RtpError):
    """Bytes are not a stored unit in format 1: wrong magic, header or frame, or cut short."""

    reason = "malformed_unit"


class NotAuthentic(RtpError):
    """A sealed object was altered, cut, extended or swapped, or the key is not its key."""

    reason = "not_authentic"
