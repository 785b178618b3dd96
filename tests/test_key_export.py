"""The signed batch: what is written is read, what a reader would refuse is not written, and what it prints."""

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import key_export, protobuf
from bluezoned.key_export import HEADER, INTERVAL, KEY_SIZES, KeyExport, KeyExportError, Reason
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType
from bluezoned.protocols.registry import NAMES, by_name
from tests import gaen_schema
from tests.signed_export import (
    MONDAY,
    PUBLIC_KEY,
    PUBLISHED,
    SIGNING_KEY,
    STRANGERS_KEY,
    VECTORS,
    export,
    exports,
    foreign,
    key,
    members,
    packed,
    refusal,
    signature_entry,
    signed,
    written,
)


@given(exports())
def test_what_is_written_is_read(whole: KeyExport) -> None:
    found = key_export.read(key_export.write(whole, SIGNING_KEY, "452"), PUBLIC_KEY)

    assert sorted(found.keys, key=repr_of) == sorted(whole.keys, key=repr_of)
    assert sorted(found.revoked, key=repr_of) == sorted(whole.revoked, key=repr_of)
    assert replace(found, keys=(), revoked=()) == replace(whole, keys=(), revoked=())


def repr_of(one: DiagnosisKey) -> tuple[bytes, str]:
    return bytes(one.secret), repr(one)


@given(st.permutations([key(number) for number in range(5)]))
def test_the_order_of_keys_tells_nothing(keys: list[DiagnosisKey]) -> None:
    assert members(written(*keys))[0] == members(written(*(key(number) for number in range(5))))[0]


@pytest.mark.parametrize("protocol", NAMES)
def test_key_sizes_are_those_of_the_protocols(protocol: str) -> None:
    assert KEY_SIZES[protocol] == by_name(protocol).key_size


@pytest.mark.parametrize(
    ("protocol", "size"), [("gaen", 15), ("gaen", 32), ("bluezone", 16), ("dp3t", 31), ("dp3t", 0)]
)
def test_keys_of_another_length_are_refused(protocol: str, size: int) -> None:
    message = foreign(key_data=bytes(size))
    message.protocol = protocol

    assert refusal(signed(message)) is Reason.BAD_KEY_LENGTH


@pytest.mark.parametrize("period", [0, 145, -1, (1 << 31) - 1])
def test_impossible_periods_are_refused(period: int) -> None:
    assert refusal(signed(foreign(rolling_period=period))) is Reason.BAD_WINDOW


@pytest.mark.parametrize("start", [-1, (1 << 31) - 1, PUBLISHED // INTERVAL + 144])
def test_absurd_starts_are_refused(start: int) -> None:
    assert refusal(signed(foreign(rolling_start_interval_number=start))) is Reason.BAD_WINDOW


@pytest.mark.parametrize(("period", "protocol"), [(15 * 144, "bluezone"), (15 * 144, "dp3t"), (144, "gaen")])
def test_the_longest_window_is_the_protocols(period: int, protocol: str) -> None:
    longest = key(1, protocol, end=MONDAY + period * INTERVAL)

    assert key_export.read(written(longest, protocol=protocol), PUBLIC_KEY).keys == (longest,)
    assert reason_for_writing(replace(longest, end=longest.end + INTERVAL), protocol=protocol) is Reason.BAD_WINDOW


def test_an_unknown_protocol_is_refused() -> None:
    message = foreign()
    message.protocol = "herald"

    assert refusal(signed(message)) is Reason.UNKNOWN_PROTOCOL


HEADS: list[Callable[[Any], object]] = [
    lambda message: message.ClearField("end_timestamp"),
    lambda message: (message.ClearField("start_timestamp"), message.ClearField("end_timestamp")),
    lambda message: setattr(message, "start_timestamp", PUBLISHED // 1000 + 1),
    lambda message: setattr(message, "end_timestamp", (1 << 64) - 1),
    lambda message: setattr(message, "region", "\x1b[2J"),
    lambda message: setattr(message, "region", "V" * 65),
    lambda message: setattr(message, "sequence", 0),
    lambda message: setattr(message, "sequence", 1 << 63),
    lambda message: message.signature_infos.extend([gaen_schema.SignatureInfo()] * 11),
]


@pytest.mark.parametrize("change", HEADS, ids=itertools.count())
def test_an_impossible_head_is_refused(change: Callable[[Any], object]) -> None:
    message = foreign()
    change(message)

    assert refusal(signed(message)) is Reason.MALFORMED


@pytest.mark.parametrize("applied", [None, 0, 6])
def test_a_newer_batch_is_taken(applied: int | None) -> None:
    key_export.check_sequence(key_export.read(written(), PUBLIC_KEY).sequence, applied)


@pytest.mark.parametrize("applied", [7, 8])
def test_an_older_batch_is_refused(applied: int) -> None:
    found = key_export.read(written(), PUBLIC_KEY)

    with pytest.raises(KeyExportError) as caught:
        key_export.check_sequence(found.sequence, applied)

    assert caught.value.reason is Reason.REPLAYED


def test_batches_of_others_have_no_order() -> None:
    key_export.check_sequence(export(sequence=None).sequence, 7)


def reason_for_writing(*keys: DiagnosisKey, **changes: Any) -> Reason:
    with pytest.raises(KeyExportError) as caught:
        written(*keys, **changes)
    return caught.value.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret": Opaque(bytes(15))}, Reason.BAD_KEY_LENGTH),
        ({"start": MONDAY + 1}, Reason.BAD_WINDOW),
        ({"end": MONDAY}, Reason.BAD_WINDOW),
        ({"protocol": "dp3t"}, Reason.UNKNOWN_PROTOCOL),
        ({"report_type": ReportType.REVOKED}, Reason.MALFORMED),
        ({"days_since_onset": 15}, Reason.MALFORMED),
    ],
)
def test_keys_that_a_reader_would_refuse_are_not_written(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_for_writing(key(1, **changes)) is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "herald"}, Reason.UNKNOWN_PROTOCOL),
        ({"sequence": 0}, Reason.MALFORMED),
        ({"start": PUBLISHED + 1000}, Reason.MALFORMED),
        ({"region": "\n"}, Reason.MALFORMED),
    ],
)
def test_batches_that_a_reader_would_refuse_are_not_written(changes: dict[str, Any], reason: Reason) -> None:
    assert reason_for_writing(**changes) is reason


def test_a_batch_too_large_for_a_reader_is_not_written() -> None:
    with pytest.raises(KeyExportError) as caught:
        key_export.write(export(), SIGNING_KEY, "4" * key_export.LARGEST_SIGNATURES)

    assert caught.value.reason is Reason.TOO_LARGE


def test_times_are_widened_to_whole_seconds() -> None:
    found = key_export.read(written(start=PUBLISHED - 1, end=PUBLISHED + 1), PUBLIC_KEY)

    assert (found.start, found.end) == (PUBLISHED - 1000, PUBLISHED + 1000)


def test_inspection_counts() -> None:
    found = key_export.inspect(written(key(1), key(2), revoked=(key(3),)), PUBLIC_KEY)

    assert (found.signature, found.keys, found.revoked, found.problem) == ("valid", 2, 1, None)
    assert (found.protocol, found.sequence, found.region) == ("gaen", 7, "VN")
    assert (found.start, found.end) == (PUBLISHED - DAY, PUBLISHED)


def test_inspection_without_a_key_believes_nothing() -> None:
    assert key_export.inspect(written(), None).signature == "unchecked"


def test_inspection_of_a_strangers_file_still_counts() -> None:
    found = key_export.inspect(written(), STRANGERS_KEY.public_key())

    assert (found.signature, found.keys) == ("invalid", 1)


@pytest.mark.parametrize("public_key", [PUBLIC_KEY, None])
def test_inspection_finds_the_signature_missing(public_key: ec.EllipticCurvePublicKey | None) -> None:
    assert key_export.inspect((VECTORS / "empty-signature.zip").read_bytes(), public_key).signature == "missing"


@pytest.mark.parametrize(("public_key", "word"), [(PUBLIC_KEY, "invalid"), (None, "unchecked")])
def test_inspection_of_a_damaged_file(public_key: ec.EllipticCurvePublicKey | None, word: str) -> None:
    found = key_export.inspect(written()[:-1], public_key)

    assert (found.signature, found.problem) == (word, "the key export is refused: it ends early or is damaged")


def test_nothing_that_prints_holds_a_secret() -> None:
    whole = export(key(1), revoked=(key(2),))

    assert key(1).secret.hex() not in repr(whole)
    assert repr(bytes(key(1).secret)) not in repr(whole)


def test_a_field_longer_than_any_is_refused() -> None:
    content = HEADER + protobuf.put_bytes(9, bytes(10)) * 2 + protobuf.put_bytes(9, os.urandom(200_000))

    assert refusal(packed(content, signature_entry(content))) is Reason.TOO_LARGE
