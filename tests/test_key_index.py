"""The signed index: what it holds, what it refuses, what it never lets through unsigned."""

import base64
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import key_index
from bluezoned.key_export import LARGEST_FILE
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.protocols.registry import NAMES
from bluezoned.signed_document import DocumentError, Reason
from bluezoned.upload import SEALING_KEY_SIZE

SIGNING_KEY = ec.derive_private_key(2020, ec.SECP256R1())
PUBLIC_KEY = SIGNING_KEY.public_key()
STRANGERS_KEY = ec.derive_private_key(666, ec.SECP256R1()).public_key()

instants = st.integers(0, (1 << 47) - 2)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.zip", fullmatch=True)
batches = st.builds(
    Batch,
    sequence=st.integers(1, (1 << 47) - 1),
    name=names,
    size=st.integers(1, LARGEST_FILE),
    sha256=st.binary(min_size=32, max_size=32),
    protocol=st.sampled_from(NAMES),
    start=instants,
    end=instants,
)


@st.composite
def indexes(draw: st.DrawFn) -> KeyIndex:
    listed = draw(st.lists(batches, max_size=5, unique_by=(lambda batch: batch.sequence, lambda batch: batch.name)))
    issued = draw(instants)
    return KeyIndex(
        draw(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=64)),
        max((batch.sequence for batch in listed), default=0),
        issued,
        draw(st.integers(issued + 1, (1 << 47) - 1)),
        draw(st.binary(min_size=SEALING_KEY_SIZE, max_size=SEALING_KEY_SIZE)),
        tuple(sorted(listed, key=lambda batch: batch.sequence)),
    )


def batch(sequence: int = 1, **changes: Any) -> Batch:
    return replace(Batch(sequence, f"gaen-{sequence}.zip", 505, bytes(32), "gaen", 1000, 2000), **changes)


def index(*listed: Batch, **changes: Any) -> KeyIndex:
    newest = max((one.sequence for one in listed), default=0)
    return replace(KeyIndex("vn", newest, 3000, 4000, bytes(SEALING_KEY_SIZE), listed), **changes)


def signed(document: Any) -> bytes:
    """What an authority signs that does not ask our writer."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode() + b"\n"
    signature = SIGNING_KEY.sign(b"bluezoned index v1\n" + body, ec.ECDSA(SHA256()))
    return base64.b64encode(signature) + b"\n" + body


def document() -> Any:
    return json.loads(key_index.write(index(batch(1), batch(2)), SIGNING_KEY).partition(b"\n")[2])


def refusal(data: bytes, public_key: ec.EllipticCurvePublicKey = PUBLIC_KEY) -> Reason:
    with pytest.raises(DocumentError) as caught:
        key_index.read(data, public_key)
    return caught.value.reason


@given(indexes())
def test_what_is_written_is_read_signed_or_peeked_at(whole: KeyIndex) -> None:
    data = key_index.write(whole, SIGNING_KEY)

    assert key_index.read(data, PUBLIC_KEY) == whole
    assert key_index.peek(data) == whole


def test_the_document_is_canonical() -> None:
    """One line, sorted, US-ASCII: the layout in docs/protocols/key-index.md."""
    body = key_index.write(index(batch(1), sealing_key=bytes(SEALING_KEY_SIZE)), SIGNING_KEY).partition(b"\n")[2]

    key = base64.b64encode(bytes(SEALING_KEY_SIZE))
    assert body == (
        b'{"authority":"vn","batches":[{"end":2000,"name":"gaen-1.zip","protocol":"gaen","sequence":1,"sha256":"'
        b'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","size":505,"start":1000}],"expires":4000,"issued":3000,'
        b'"rotations":[],"sealing_key":"' + key + b'","sequence":1}\n'
    )


def test_every_flipped_bit_is_refused() -> None:
    data = key_index.write(index(batch(1)), SIGNING_KEY)
    number = int.from_bytes(data)

    reasons = {refusal((number ^ 1 << bit).to_bytes(len(data))) for bit in range(len(data) * 8)}

    assert reasons == {Reason.WRONG_KEY, Reason.MALFORMED}


def test_another_signing_key_is_refused() -> None:
    assert refusal(key_index.write(index(), SIGNING_KEY), STRANGERS_KEY) is Reason.WRONG_KEY


def test_a_signature_for_another_purpose_is_refused() -> None:
    """The same key signs exports and receipts, and none of their bytes begin with the index's tag."""
    body = key_index.write(index(), SIGNING_KEY).partition(b"\n")[2]
    untagged = SIGNING_KEY.sign(body, ec.ECDSA(SHA256()))

    assert refusal(base64.b64encode(untagged) + b"\n" + body) is Reason.WRONG_KEY


def test_another_spelling_of_the_signature_is_refused() -> None:
    line, _, body = key_index.write(index(), SIGNING_KEY).partition(b"\n")

    assert refusal(line + b"\r\n" + body) is Reason.MALFORMED


@pytest.mark.parametrize("line", [b"MAB=", b"MA==MA==", base64.b64encode(bytes(73))], ids=["spare", "two", "long"])
def test_what_can_be_no_signature_is_not_even_peeked_behind(line: bytes) -> None:
    body = key_index.write(index(), SIGNING_KEY).partition(b"\n")[2]
    key_index.peek(b"MAA=\n" + body)

    with pytest.raises(DocumentError) as caught:
        key_index.peek(line + b"\n" + body)

    assert caught.value.reason is Reason.MALFORMED


@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    assert refusal(data) in (Reason.MALFORMED, Reason.WRONG_KEY)


def test_a_large_one_is_refused_unread() -> None:
    assert refusal(bytes(key_index.LARGEST + 1)) is Reason.TOO_LARGE


NAMES_OF_NO_BATCH = [
    *("", "..", "../a.zip", "/etc/a.zip", "a/b.zip", "a\\b.zip", "a%2fb.zip", "a.zip\n", "a\0.zip"),
    *(".zip", "-a.zip", "a.zip.exe", "\u0430.zip", "a" * 101 + ".zip"),
]


@pytest.mark.parametrize("name", NAMES_OF_NO_BATCH, ids=ascii)
def test_a_name_that_could_be_a_path_is_refused(name: str) -> None:
    listed = document()
    listed["batches"][0]["name"] = name

    assert refusal(signed(listed)) is Reason.MALFORMED
    assert not key_index.is_batch_name(name)


@given(names)
def test_a_batch_name_is_one_step_of_a_path(name: str) -> None:
    assert key_index.is_batch_name(name)
    assert PurePath(name).name == name


CHANGES: list[Callable[[Any], object]] = [
    lambda d: d.pop("sealing_key"),
    lambda d: d.update(sealing_key="AAAA"),
    lambda d: d.update(sealing_key="?" * 1624),
    lambda d: d.update(sequence=1),
    lambda d: d.update(sequence="2"),
    lambda d: d.update(sequence=2.5),
    lambda d: d.update(sequence=True),
    lambda d: d.update(sequence=1 << 47),
    lambda d: d.update(issued=-1),
    lambda d: d.update(expires=d["issued"]),
    lambda d: d.update(authority=""),
    lambda d: d.update(authority="\x1b[2J"),
    lambda d: d.update(authority="\u0111"),
    lambda d: d.update(batches={}),
    lambda d: d.update(batches=["gaen-1.zip"]),
    lambda d: d["batches"].reverse(),
    lambda d: d["batches"].append(d["batches"][1]),
    lambda d: d["batches"][1].update(name="gaen-1.zip"),
    lambda d: d["batches"][0].update(sequence=0),
    lambda d: d["batches"][0].update(size=0),
    lambda d: d["batches"][0].update(size=LARGEST_FILE + 1),
    lambda d: d["batches"][0].update(sha256="AAAA"),
    lambda d: d["batches"][0].update(protocol="../gaen"),
    lambda d: d["batches"][0].pop("start"),
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_an_impossible_document_is_refused(change: Callable[[Any], object]) -> None:
    listed = document()
    change(listed)

    assert refusal(signed(listed)) is Reason.MALFORMED
    with pytest.raises(DocumentError):
        key_index.peek(signed(listed))


NOTHINGS = [b"", b"[]", b"null", b"1", b'"x"', b'{"x":"\xff"}', b"1" * 10_000, b"[" * 99_999, b'{"x":' + b"[" * 99_999]


@pytest.mark.parametrize("body", NOTHINGS, ids=range(len(NOTHINGS)))
def test_a_signed_nothing_is_refused(body: bytes) -> None:
    assert refusal(signed(body)) is Reason.MALFORMED


def test_a_document_beyond_ascii_is_refused() -> None:
    listed = document() | {"later": "\u00e9"}

    assert refusal(signed(json.dumps(listed, ensure_ascii=False).encode())) is Reason.MALFORMED
    assert key_index.read(signed(listed), PUBLIC_KEY).sequence == 2


def test_what_later_versions_add_is_skipped() -> None:
    listed = document()
    listed["later"] = {"x": [1]}
    listed["batches"][0]["later"] = None

    assert key_index.read(signed(listed), PUBLIC_KEY).sequence == 2


def test_a_protocol_that_is_not_known_here_hides_no_other() -> None:
    assert (
        len(key_index.read(key_index.write(index(batch(1, protocol="herald")), SIGNING_KEY), PUBLIC_KEY).batches) == 1
    )


@pytest.mark.parametrize("changes", [{"authority": "\n"}, {"sequence": -1}, {"sealing_key": b""}, {"expires": 3000}])
def test_what_a_reader_would_refuse_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        key_index.write(index(**changes), SIGNING_KEY)


def test_an_unsigned_flood_costs_no_more_than_ten_times_itself() -> None:
    flood = base64.b64encode(bytes(72)) + b"\n" + b'{"batches":[' + b"{}," * 1_000_000 + b"{}]}"

    tracemalloc.start()
    with pytest.raises(DocumentError):
        key_index.peek(flood)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 10 * len(flood)
