"""The signed batch damaged, unsigned, signed by a stranger, or changed while it is read: refused."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import bounded_zip, key_export, protobuf
from bluezoned.key_export import HEADER, KeyExportError, Reason
from tests.signed_export import (
    PUBLIC_KEY,
    STRANGERS_KEY,
    export,
    key,
    members,
    packed,
    refusal,
    signature_entry,
    written,
)


def test_every_flipped_bit_of_the_export_is_refused() -> None:
    content, signatures = members(written(key(1), key(2), revoked=(key(3),)))

    reasons = {refusal(packed(flipped, signatures)) for flipped in flips(content)}

    assert reasons == {Reason.WRONG_KEY}


def test_every_flipped_bit_of_the_signature_is_refused() -> None:
    content, signatures = members(written())

    reasons = {refusal(packed(content, flipped)) for flipped in flips(signatures)}

    assert reasons <= {Reason.WRONG_KEY, Reason.EMPTY_SIGNATURE, Reason.TRUNCATED, Reason.MALFORMED}


def flips(data: bytes) -> list[bytes]:
    number = int.from_bytes(data)
    return [(number ^ 1 << bit).to_bytes(len(data)) for bit in range(len(data) * 8)]


def test_every_truncated_file_is_refused() -> None:
    whole = written()

    reasons = {refusal(whole[:end]) for end in range(4, len(whole))}

    assert reasons == {Reason.TRUNCATED}


@given(st.binary(max_size=300))
def test_anything_else_is_refused(data: bytes) -> None:
    assert refusal(data) in (Reason.MALFORMED, Reason.TRUNCATED)


def test_another_signing_key_is_refused() -> None:
    assert refusal(written(), STRANGERS_KEY.public_key()) is Reason.WRONG_KEY


def test_a_missing_signature_is_refused() -> None:
    assert refusal(bounded_zip.pack({"export.bin": members(written())[0]})) is Reason.MISSING_SIGNATURE


def test_a_missing_export_is_refused() -> None:
    assert refusal(bounded_zip.pack({"export.sig": members(written())[1]})) is Reason.MALFORMED


@pytest.mark.parametrize(
    "signatures",
    [b"", protobuf.put_bytes(1, b""), protobuf.put_bytes(1, protobuf.put_bytes(4, b"")), protobuf.put_varint(1, 1)],
)
def test_a_list_without_a_signature_is_refused(signatures: bytes) -> None:
    assert refusal(packed(members(written())[0], signatures)) is Reason.EMPTY_SIGNATURE


def test_more_signatures_than_anybody_needs_are_refused() -> None:
    content, signatures = members(written())

    assert refusal(packed(content, signatures * 11)) is Reason.TOO_LARGE


def test_a_cut_list_of_signatures_is_refused() -> None:
    content, signatures = members(written())

    assert refusal(packed(content, signatures[:-1])) is Reason.TRUNCATED


def test_a_signed_message_without_the_header_is_refused() -> None:
    content = b"EK Export v2    " + members(written())[0][16:]

    assert refusal(packed(content, signature_entry(content))) is Reason.MALFORMED


def test_a_bomb_is_refused() -> None:
    assert refusal(packed(HEADER + bytes(32 << 20), members(written())[1])) is Reason.TOO_LARGE


def test_a_file_beyond_all_bounds_is_refused_unread() -> None:
    assert refusal(bytes(key_export.LARGEST_FILE + 1)) is Reason.TOO_LARGE


def test_a_surprising_member_is_refused() -> None:
    content, signatures = members(written())

    assert refusal(bounded_zip.pack({"export.bin": content, "export.sig": signatures, "x": b""})) is Reason.MALFORMED


def test_an_encrypted_file_is_refused() -> None:
    locked = bytearray(written())
    locked[locked.index(b"PK\1\2") + 8] |= 1

    assert refusal(bytes(locked)) is Reason.ENCRYPTED


class Changing(BytesIO):
    """A file whose writer replaces it once its first reading is through."""

    def __init__(self, first: bytes, then: bytes, after: int) -> None:
        super().__init__(first)
        self._then, self._left = then, after

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._left -= 1
        if not self._left:
            position = self.tell()
            self.seek(0)
            self.truncate()
            self.write(self._then)
            self.seek(position)
        return found


@pytest.mark.parametrize("after", range(1, 14))
def test_a_file_changed_while_it_is_read_is_refused_or_read_as_signed(after: int) -> None:
    ours, other = written(key(1)), written(key(2))
    file = Changing(ours, other, after)

    try:
        found = [terms.key(secret) for secret, terms in key_export.Batch(file, PUBLIC_KEY)]
    except KeyExportError:
        return
    assert found in ([key(1)], [key(2)])


def test_a_file_changed_after_its_signature_was_verified_is_refused() -> None:
    file = BytesIO(written(key(1)))
    batch = key_export.Batch(file, PUBLIC_KEY)
    stranger = key_export.write(export(key(2)), STRANGERS_KEY, "452")
    file.seek(0)
    file.write(stranger)
    file.truncate()

    with pytest.raises(KeyExportError):
        list(batch)
