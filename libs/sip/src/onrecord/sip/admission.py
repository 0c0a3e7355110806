"""How much new work one source may bring, decided before a message is parsed.

RFC 3261 §21.5.4: what is too much is answered 503 with Retry-After and nothing is kept of it. What
belongs to a call that runs is never asked about. Reading the few octets that tell them apart costs
about a tenth of parsing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from onrecord.sip.errors import SipError
from onrecord.sip.headers import Via
from onrecord.sip.hop import Hop
from onrecord.sip.message import END_OF_HEAD
from onrecord.sip.uri import SipUri

RETRY_AFTER = ("Retry-After", "10")
MAX_SOURCES = 4096
_NEW_WORK = re.compile(rb"[\r\n]*(?!ACK |CANCEL )([A-Za-z]+) +(\S+) +SIP/2\.0[ \t]*[\r\n]")
_TO_TAG = re.compile(rb"[\r\n](?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=", re.IGNORECASE)
_COPIED = re.compile(
    rb"[\r\n](via|v|from|f|to|t|call-id|i|cseq)[ \t]*:[ \t]*"
    rb"([^\r\n]*(?:(?:\r\n|\n|\r)[ \t][^\r\n]*)*)",
    re.IGNORECASE,
)
_NAMES = {b"v": "Via", b"f": "From", b"t": "To", b"i": "Call-ID", b"c": "CSeq"}


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Admission:
    """One token bucket per source address, of which each message that is new work takes one.

    `rate` is in messages a second, and as many are saved up at most. `is_exempt` is asked about the
    Request-URI of what would be too much: emergency calls are always let in.
    """

    def __init__(self, rate: float, is_exempt: Callable[[SipUri], bool]) -> None:
        self._rate = rate
        self._is_exempt = is_exempt
        self._buckets: dict[str, _Bucket] = {}

    def admits(self, message: bytes, source: Hop, now: float) -> bool:
        """Whether a message may go on to the parser; whatever its octets, this raises nothing."""
        found = _NEW_WORK.match(message)
        if found is None or self._is_in_dialog(message) or self._take(source.host, now):
            return True
        return found.group(1) == b"INVITE" and self._is_emergency(found.group(2))

    @staticmethod
    def _is_in_dialog(message: bytes) -> bool:
        end = END_OF_HEAD.search(message)
        return _TO_TAG.search(message, 0, end.start() if end else len(message)) is not None

    def _take(self, source: str, now: float) -> bool:
        bucket = self._buckets.get(source)
        if bucket is None:
            if len(self._buckets) >= MAX_SOURCES:
                self._buckets.clear()
            bucket = self._buckets[source] = _Bucket(self._rate, now)
        bucket.tokens = min(self._rate, bucket.tokens + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    def _is_emergency(self, uri: bytes) -> bool:
        try:
            return self._is_exempt(SipUri.parse(uri.decode()))
        except (SipError, UnicodeDecodeError):
            return False


def unavailable(message: bytes, source: Hop, to_tag: str) -> tuple[bytes, Hop] | None:
    """Return the 503 to a request that was not parsed, and where it goes; None if nobody can tell.

    It copies what a response must (§8.2.6.2) as it stands.
    """
    end = END_OF_HEAD.search(message)
    head = message[: end.start()] if end is not None else message
    fields = [(name[:1].lower(), name.lower(), value) for name, value in _COPIED.findall(head)]
    copied = [("Call-ID" if name == b"call-id" else _NAMES[key], v) for key, name, v in fields]
    names = [name for name, _ in copied]
    if "Via" not in names or any(names.count(name) != 1 for name in set(names) - {"Via"}):
        return None
    lines, hop = ["SIP/2.0 503 Service Unavailable"], None
    for name, octets in copied:
        value = " ".join(octets.decode("latin-1").split())
        if name == "Via" and hop is None:
            try:
                first, comma, others = value.partition(",")
                via = Via.parse(first)
            except SipError:
                return None
            hop, value = via.response_hop(source), f"{via.received_from(source)}{comma}{others}"
        elif name == "To":
            value = f"{value};tag={to_tag}"
        lines.append(f"{name}: {value}")
    if hop is None or len(set(names)) != len(_NAMES):
        return None
    lines += [": ".join(RETRY_AFTER), "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode("latin-1"), hop
