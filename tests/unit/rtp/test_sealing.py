"""Sealed objects are Tink's: Tink opens ours, we open Tink's, and no change goes unnoticed."""

import base64
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onrecord.rtp.errors import NotAuthentic
from onrecord.rtp.storage.sealing import (
    HEADER_OCTETS,
    SEGMENT_OCTETS,
    RangedReader,
    seal,
    tail_span,
    unseal,
)
from tink import json_proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2

KEY, SALT, PREFIX, NAME = bytes(range(32)), bytes(32), bytes(7), b"call/caller/1-0"
FIRST, OTHER = SEGMENT_OCTETS - 56, SEGMENT_OCTETS - 16
# Around every boundary: empty, one byte, an exactly full first and second segment.
SIZES = (0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + OTHER, FIRST + OTHER + 1, 3 * SEGMENT_OCTETS)


class _Kept(io.BytesIO):
    """A sink whose bytes outlive close(), which Tink's writer calls."""

    def close(self) -> None:
        """Keep the buffer."""


def tink_primitive(key: bytes) -> streaming_aead.StreamingAead:
    """Tink's own cipher over `key` with 64 KiB segments."""
    streaming_aead.register()
    form = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(key_value=key)
    form.params.ciphertext_segment_size = SEGMENT_OCTETS
    form.params.derived_key_size = 32
    form.params.hkdf_hash_type = common_pb2.SHA256
    data = {
        "typeUrl": "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
        "value": base64.b64encode(form.SerializeToString()).decode(),
        "keyMaterialType": "SYMMETRIC",
    }
    entry = {"keyData": data, "status": "ENABLED", "keyId": 1, "outputPrefixType": "RAW"}
    keyset = json.dumps({"primaryKeyId": 1, "key": [entry]})
    assert tink_pb2.RAW == 3
    handle = json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


def plaintext(size: int) -> bytes:
    """Bytes that differ from segment to segment."""
    return bytes(n * 7 % 251 for n in range(size))


def reader(sealed: bytes, key: bytes = KEY, name: bytes = NAME) -> RangedReader:
    """Give a ranged reader over bytes in memory."""
    tail = tail_span(len(sealed))
    return RangedReader(key, name, len(sealed), sealed[:HEADER_OCTETS], sealed[tail.start :])


@pytest.mark.parametrize("size", SIZES)
def test_tink_opens_ours(size: int) -> None:
    """The independent implementation reads an object that we sealed."""
    sealed = seal(plaintext(size), KEY, NAME, salt=SALT, nonce_prefix=PREFIX)
    with tink_primitive(KEY).new_decrypting_stream(io.BytesIO(sealed), NAME) as stream:
        assert stream.read() == plaintext(size)


@pytest.mark.parametrize("size", SIZES)
def test_we_open_tinks(size: int) -> None:
    """We read an object that the independent implementation sealed."""
    sink = _Kept()
    with tink_primitive(KEY).new_encrypting_stream(sink, NAME) as stream:
        stream.write(plaintext(size))
    assert unseal(sink.getvalue(), KEY, NAME) == plaintext(size)


@settings(max_examples=60)
@given(st.data())
def test_any_range_reads_only_its_segments(data: st.DataObject) -> None:
    """A range equals that slice of the plaintext, from no more segments than it touches."""
    clear = plaintext(FIRST + OTHER + 1000)
    sealed = seal(clear, KEY, NAME, salt=SALT, nonce_prefix=PREFIX)
    start = data.draw(st.integers(0, len(clear)))
    length = data.draw(st.integers(0, len(clear) + 10))
    opened = reader(sealed)
    span = opened.span(start, length)
    assert opened.plaintext_octets == len(clear)
    assert (
        opened.read(start, length, sealed[span.start : span.start + span.length])
        == clear[start : start + length]
    )
    assert span.length <= (length // OTHER + 2) * SEGMENT_OCTETS


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.integers(0, 7))
def test_one_flipped_bit_is_found(place: int, bit: int) -> None:
    """Whichever bit of an object is flipped, it does not open."""
    sealed = bytearray(seal(plaintext(FIRST + 100), KEY, NAME, salt=SALT, nonce_prefix=PREFIX))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(NotAuthentic):
        unseal(bytes(sealed), KEY, NAME)


@pytest.mark.parametrize(
    "size", [0, 20, 40, 55, 56, SEGMENT_OCTETS - 1, SEGMENT_OCTETS, 2 * SEGMENT_OCTETS]
)
def test_cut_object_is_refused_at_open(size: int) -> None:
    """A cut, at a segment's end too, is found before any plaintext is given out."""
    sealed = seal(plaintext(3 * SEGMENT_OCTETS), KEY, NAME, salt=SALT, nonce_prefix=PREFIX)
    with pytest.raises(NotAuthentic):
        reader(sealed[:size])


@pytest.mark.parametrize("extra", [1, 16, SEGMENT_OCTETS])
@pytest.mark.parametrize("size", [10, FIRST, FIRST + OTHER])
def test_extended_object_is_refused_at_open(size: int, extra: int) -> None:
    """Bytes added at the end are found before any plaintext is given out."""
    sealed = seal(plaintext(size), KEY, NAME, salt=SALT, nonce_prefix=PREFIX)
    with pytest.raises(NotAuthentic):
        reader(sealed + bytes(extra))


def test_swapped_object_and_wrong_key_are_refused() -> None:
    """An object put under another's key, or read with another's unit key, does not open."""
    sealed = seal(b"audio", KEY, NAME, salt=SALT, nonce_prefix=PREFIX)
    for key, name in ((KEY, b"call/agent/1-0"), (bytes(32), NAME)):
        with pytest.raises(NotAuthentic):
            reader(sealed, key, name)


def test_a_short_answer_of_the_store_is_refused() -> None:
    """A store that gives fewer bytes than asked for is found out, not read past."""
    sealed = seal(plaintext(100), KEY, NAME, salt=SALT, nonce_prefix=PREFIX)
    with pytest.raises(NotAuthentic):
        reader(sealed).read(0, 100, sealed[HEADER_OCTETS:-1])
