"""The sealed object: Tink's AES256_GCM_HKDF streaming format, read as a whole or by ranges.

Wire format as Google Tink's "AES-GCM-HKDF Streaming AEAD" with HMAC-SHA-256, 32-byte derived keys
and 64 KiB ciphertext segments, so that any Tink library opens an object that this module wrote:

    u8 40 | salt (32) | nonce prefix (7) | segment 0 | segment 1 | …

The segment key is HKDF-SHA256(input key, salt, info = associated data); each segment is
AES-256-GCM with the nonce prefix | u32 segment number | u8 1 for the last segment, else 0. The
first segment is shorter by the header. The associated data is the object's key, so a swapped
object does not open.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from onrecord.rtp.errors import NotAuthentic

KEY_OCTETS: Final = 32
SALT_OCTETS: Final = 32
PREFIX_OCTETS: Final = 7
HEADER_OCTETS: Final = 1 + SALT_OCTETS + PREFIX_OCTETS
SEGMENT_OCTETS: Final = 64 * 1024
_TAG_OCTETS = 16
_FIRST = SEGMENT_OCTETS - HEADER_OCTETS - _TAG_OCTETS
_OTHER = SEGMENT_OCTETS - _TAG_OCTETS


@dataclass(frozen=True, slots=True)
class Span:
    """A run of an object's bytes: what to ask an object store for."""

    start: int
    length: int


def seal(
    plaintext: bytes, key: bytes, associated_data: bytes, *, salt: bytes, nonce_prefix: bytes
) -> bytes:
    """Give the whole sealed object.

    `key` is the unit's 32 random bytes. `salt` (32) and `nonce_prefix` (7) must be fresh random
    bytes: the same three with another plaintext would break the cipher.
    """
    if (len(key), len(salt), len(nonce_prefix)) != (KEY_OCTETS, SALT_OCTETS, PREFIX_OCTETS):
        raise ValueError("key and salt are 32 bytes, the nonce prefix is 7")
    cipher = _segment_cipher(key, salt, associated_data)
    parts = [plaintext[:_FIRST]]
    parts += [plaintext[at : at + _OTHER] for at in range(_FIRST, len(plaintext), _OTHER)]
    last = len(parts) - 1
    sealed = [
        cipher.encrypt(_nonce(nonce_prefix, n, last=n == last), part, None)
        for n, part in enumerate(parts)
    ]
    return bytes([HEADER_OCTETS]) + salt + nonce_prefix + b"".join(sealed)


def unseal(sealed: bytes, key: bytes, associated_data: bytes) -> bytes:
    """Open a whole object; `NotAuthentic` unless every byte of it is as it was written."""
    size = len(sealed)
    tail = tail_span(size)
    reader = RangedReader(key, associated_data, size, sealed[:HEADER_OCTETS], sealed[tail.start :])
    return reader.read(0, reader.plaintext_octets, sealed[HEADER_OCTETS:])


def tail_span(size: int) -> Span:
    """Say where the last segment of `size` bytes lies; `NotAuthentic` if none is that long."""
    segments = -(-size // SEGMENT_OCTETS)
    start = HEADER_OCTETS if segments <= 1 else (segments - 1) * SEGMENT_OCTETS
    if size - start < _TAG_OCTETS:
        raise NotAuthentic(f"no sealed object is {size} bytes long")
    return Span(start, size - start)


class RangedReader:
    """Opens ranges of one object, fetching only the segments that they touch.

    Making one authenticates the object's length: `header` is its first 40 bytes, `tail` the bytes
    of `tail_span(size)`. An object that was cut or extended, even at a segment's end, is refused
    here, before any of its plaintext is given out.
    """

    def __init__(
        self, key: bytes, associated_data: bytes, size: int, header: bytes, tail: bytes
    ) -> None:
        """Derive the segment key and check the last segment; raises `NotAuthentic`."""
        if len(header) != HEADER_OCTETS or header[0] != HEADER_OCTETS:
            raise NotAuthentic("the object does not begin with a streaming header")
        if len(key) != KEY_OCTETS:
            raise ValueError("the key is 32 bytes")
        self._size = size
        self._segments = max(1, -(-size // SEGMENT_OCTETS))
        self._cipher = _segment_cipher(key, header[1 : 1 + SALT_OCTETS], associated_data)
        self._prefix = header[1 + SALT_OCTETS :]
        if len(tail) != tail_span(size).length:
            raise NotAuthentic("the last segment is not as long as the object's size says")
        self._open(self._segments - 1, tail)

    @property
    def plaintext_octets(self) -> int:
        """How many bytes the object holds in clear."""
        return self._size - HEADER_OCTETS - _TAG_OCTETS * self._segments

    def span(self, start: int, length: int) -> Span:
        """Say which bytes of the object must be fetched to read this range of the plaintext."""
        first, last = self._touched(start, length)
        begin = HEADER_OCTETS if first == 0 else first * SEGMENT_OCTETS
        return Span(begin, min((last + 1) * SEGMENT_OCTETS, self._size) - begin)

    def read(self, start: int, length: int, ciphertext: bytes) -> bytes:
        """Open a range of the plaintext, given the bytes of `span(start, length)`.

        A range beyond the end is cut to what there is. Raises `NotAuthentic` if any segment was
        altered or the bytes are not those of the span.
        """
        first, last = self._touched(start, length)
        if len(ciphertext) != self.span(start, length).length:
            raise NotAuthentic("the store gave another number of bytes than was asked for")
        opened, at = [], 0
        for number in range(first, last + 1):
            octets = SEGMENT_OCTETS - (HEADER_OCTETS if number == 0 else 0)
            opened.append(self._open(number, ciphertext[at : at + octets]))
            at += octets
        skip = start - (0 if first == 0 else _FIRST + (first - 1) * _OTHER)
        return b"".join(opened)[skip : skip + length]

    def _touched(self, start: int, length: int) -> tuple[int, int]:
        if start < 0 or length < 0:
            raise ValueError("a range does not begin or extend below zero")
        final = self._segments - 1
        return min(_segment_of(start), final), min(_segment_of(start + max(length, 1) - 1), final)

    def _open(self, number: int, segment: bytes) -> bytes:
        nonce = _nonce(self._prefix, number, last=number == self._segments - 1)
        try:
            return self._cipher.decrypt(nonce, segment, None)
        except InvalidTag as error:
            raise NotAuthentic(f"segment {number} is not as it was written") from error


def _segment_of(position: int) -> int:
    return 0 if position < _FIRST else 1 + (position - _FIRST) // _OTHER


def _segment_cipher(key: bytes, salt: bytes, associated_data: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), KEY_OCTETS, salt, associated_data).derive(key))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
