"""Opaque bytes never show themselves."""

from hypothesis import given
from hypothesis import strategies as st

from bluezoned.opaque import Opaque


def test_text_forms_show_the_length_alone() -> None:
    secret = Opaque(b"ABCDEFGH")

    assert {repr(secret), str(secret), f"{secret}", f"{secret!r}", ascii(secret)} == {"<8 bytes>"}


def test_format_specification_pads_the_length() -> None:
    assert f"{Opaque(b'AB'):>10}" == " <2 bytes>"


@given(st.binary())
def test_opaque_equals_and_hashes_like_its_bytes(content: bytes) -> None:
    assert Opaque(content) == content
    assert {content: 1}[Opaque(content)] == 1
