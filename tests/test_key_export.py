"""The signed batch: others' files, other people's tools, and everything that is refused."""

import base64
import hashlib
import itertools
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import bounded_zip, key_export, protobuf
from bluezoned.key_export import HEADER, INTERVAL, KEY_SIZES, KeyExport, KeyExportError, Reason
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier
from bluezoned.protocols.registry import NAMES, by_name
from tests import gaen_schema

VECTORS = Path(__file__).parent / "vectors"
SIGNING_KEY = ec.derive_private_key(2020, ec.SECP256R1())
PUBLIC_KEY = SIGNING_KEY.public_key()
STRANGERS_KEY = ec.derive_private_key(666, ec.SECP256R1())
MONDAY = 20_000 * DAY
PUBLISHED = MONDAY + 2 * DAY

sequences = st.none() | st.integers(1, (1 << 47) - 1)
seconds = st.integers(1, (1 << 47) // 1000 - 1)


@st.composite
def exports(draw: st.DrawFn) -> KeyExport:
    protocol = draw(st.sampled_from(NAMES))
    start, end = sorted((draw(seconds), draw(seconds)))
    keys = st.lists(diagnosis_keys(protocol, end * 1000), max_size=6)
    return KeyExport(
        protocol,
        draw(sequences),
        start * 1000,
        end * 1000,
        draw(st.text(st.characters(categories=["L", "N"]), max_size=10)),
        tuple(draw(keys)),
        tuple(replace(key, report_type=ReportType.REVOKED) for key in draw(keys)),
    )


@st.composite
def diagnosis_keys(draw: st.DrawFn, protocol: str, published: int) -> DiagnosisKey:
    start = draw(st.integers(0, published // INTERVAL)) * INTERVAL
    return DiagnosisKey(
        protocol,
        Opaque(draw(st.binary(min_size=KEY_SIZES[protocol], max_size=KEY_SIZES[protocol]))),
        start,
        start + draw(st.integers(1, 144)) * INTERVAL,
        draw(st.sampled_from(Tier)),
        draw(st.sampled_from([report_type for report_type in ReportType if report_type is not ReportType.REVOKED])),
        draw(st.none() | st.integers(-14, 14)),
    )


def key(number: int = 1, protocol: str = "gaen", **changes: Any) -> DiagnosisKey:
    secret = hashlib.sha256(number.to_bytes(4)).digest()[: KEY_SIZES.get(protocol, 32)]
    return replace(DiagnosisKey(protocol, Opaque(secret), MONDAY, MONDAY + DAY), **changes)


def export(*keys: DiagnosisKey, **changes: Any) -> KeyExport:
    return replace(KeyExport("gaen", 7, PUBLISHED - DAY, PUBLISHED, "VN", keys or (key(),)), **changes)


def written(*keys: DiagnosisKey, **changes: Any) -> bytes:
    return key_export.write(export(*keys, **changes), SIGNING_KEY, "452")


def members(data: bytes) -> tuple[bytes, bytes]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        return archive.read("export.bin"), archive.read("export.sig")


def packed(content: bytes, signatures: bytes) -> bytes:
    return bounded_zip.pack({"export.bin": content, "export.sig": signatures})


def signature_entry(content: bytes, signing_key: ec.EllipticCurvePrivateKey = SIGNING_KEY) -> bytes:
    return protobuf.put_bytes(1, protobuf.put_bytes(4, signing_key.sign(content, ec.ECDSA(SHA256()))))


def signed(message: Any) -> bytes:
    """What somebody else, who uses Google's protobuf, would publish."""
    content = HEADER + message.SerializeToString()
    return packed(content, signature_entry(content))


def foreign(**fields: Any) -> Any:
    message = gaen_schema.TemporaryExposureKeyExport(start_timestamp=MONDAY // 1000, end_timestamp=PUBLISHED // 1000)
    message.keys.add(**{"key_data": bytes(16), "rolling_start_interval_number": MONDAY // INTERVAL} | fields)
    return message


def refusal(data: bytes, public_key: ec.EllipticCurvePublicKey = PUBLIC_KEY) -> Reason:
    """Why it is refused; `inspect` must say the same."""
    with pytest.raises(KeyExportError) as caught:
        key_export.read(data, public_key)
    assert key_export.inspect(data, public_key).problem == str(caught.value)
    return caught.value.reason


# what others wrote


def test_the_reference_servers_export_is_read() -> None:
    public_key = load_pem_public_key((VECTORS / "gaen-server-public.pem").read_bytes())
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    expected = json.loads((VECTORS / "gaen-server-2-keys.json").read_text())["temporaryExposureKeys"]

    found = key_export.read((VECTORS / "gaen-server-2-keys.zip").read_bytes(), public_key)

    assert (found.protocol, found.sequence, found.region, found.revoked) == ("gaen", None, "US", ())
    assert [(k.secret, k.start, k.end) for k in found.keys] == [
        (
            base64.b64decode(row["key"]),
            row["rollingStartNumber"] * INTERVAL,
            (row["rollingStartNumber"] + row["rollingPeriod"]) * INTERVAL,
        )
        for row in expected
    ]


def test_an_empty_signature_is_refused() -> None:
    assert refusal((VECTORS / "empty-signature.zip").read_bytes()) is Reason.EMPTY_SIGNATURE


def test_googles_protobuf_reads_ours() -> None:
    ours = written(
        key(1, days_since_onset=-3), key(2, tier=Tier.F1, report_type=ReportType.RECURSIVE), revoked=(key(3),)
    )

    content, signatures = members(ours)
    message = gaen_schema.TemporaryExposureKeyExport.FromString(content[16:])  # type: ignore[attr-defined]
    signature_list = gaen_schema.TEKSignatureList.FromString(signatures)  # type: ignore[attr-defined]

    assert content[:16] == b"EK Export v1    "
    assert (message.start_timestamp, message.end_timestamp) == ((PUBLISHED - DAY) // 1000, PUBLISHED // 1000)
    assert (message.region, message.batch_num, message.batch_size) == ("VN", 1, 1)
    assert (message.protocol, message.sequence) == ("gaen", 7)
    assert [bytes(k.key_data) for k in message.keys] == sorted([key(1).secret, key(2).secret])
    assert {bytes(k.key_data): (k.days_since_onset_of_symptoms, k.tier, k.report_type) for k in message.keys} == {
        key(1).secret: (-3, 0, 1),
        key(2).secret: (0, 1, 4),
    }
    assert [(k.rolling_start_interval_number, k.rolling_period) for k in message.keys] == [
        (MONDAY // INTERVAL, 144)
    ] * 2
    assert not any(k.HasField("transmission_risk_level") for k in message.keys)
    assert [(bytes(k.key_data), k.report_type) for k in message.revised_keys] == [(key(3).secret, 5)]
    (info,) = message.signature_infos
    assert (info.verification_key_version, info.verification_key_id) == ("v1", "452")
    assert info.signature_algorithm == "1.2.840.10045.4.3.2"
    (signature,) = signature_list.signatures
    assert (signature.signature_info, signature.batch_num, signature.batch_size) == (info, 1, 1)


def test_readers_that_know_only_the_published_fields_skip_ours() -> None:
    content, _ = members(written(key(1, tier=Tier.F1), revoked=(key(2),)))

    message = gaen_schema.PublishedExport.FromString(content[16:])  # type: ignore[attr-defined]

    assert [(bytes(k.key_data), k.rolling_period, k.report_type) for k in message.keys] == [(key(1).secret, 144, 1)]
    assert [(bytes(k.key_data), k.report_type) for k in message.revised_keys] == [(key(2).secret, 5)]
    assert (message.region, message.end_timestamp) == ("VN", PUBLISHED // 1000)


def test_openssl_verifies_ours(tmp_path: Path) -> None:
    content, signatures = members(written())
    (signature,) = gaen_schema.TEKSignatureList.FromString(signatures).signatures  # type: ignore[attr-defined]
    (tmp_path / "export.bin").write_bytes(content)
    (tmp_path / "signature").write_bytes(signature.signature)
    (tmp_path / "key.pem").write_bytes(PUBLIC_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "export.bin"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "Verified OK"


def test_others_keys_have_a_whole_day_and_no_tier_by_default() -> None:
    (found,) = key_export.read(signed(foreign()), PUBLIC_KEY).keys

    assert found == DiagnosisKey("gaen", Opaque(bytes(16)), MONDAY, MONDAY + DAY, Tier.F0, ReportType.UNKNOWN, None)


def test_legacy_and_unknown_fields_are_skipped() -> None:
    message = foreign(transmission_risk_level=8)
    message.signature_infos.add(app_bundle_id="app", android_package="package")
    content = HEADER + message.SerializeToString() + protobuf.put_bytes(9, b"later") + protobuf.put_varint(77, 5)
    signatures = protobuf.put_bytes(9, b"later") + signature_entry(content)

    assert len(key_export.read(packed(content, signatures), PUBLIC_KEY).keys) == 1


def test_what_later_versions_say_of_a_key_is_read_as_the_least_it_can_mean() -> None:
    (found,) = key_export.read(signed(foreign(report_type=9, tier=7, days_since_onset_of_symptoms=99)), PUBLIC_KEY).keys

    assert (found.report_type, found.tier, found.days_since_onset) == (ReportType.UNKNOWN, Tier.F2, None)


def test_one_of_several_signatures_is_enough() -> None:
    content, signatures = members(written())
    strangers = signature_entry(content, STRANGERS_KEY) * 9

    assert key_export.read(packed(content, strangers + signatures), PUBLIC_KEY) == key_export.read(
        written(), PUBLIC_KEY
    )


def test_revised_keys_that_are_not_revoked_count_as_keys() -> None:
    message = foreign()
    message.revised_keys.add(
        key_data=b"revised 16 bytes", rolling_start_interval_number=MONDAY // INTERVAL, report_type=1
    )

    found = key_export.read(signed(message), PUBLIC_KEY)

    assert (len(found.keys), len(found.revoked)) == (2, 0)


# the laws


def test_loudness_of_a_key_known_before_is_read() -> None:
    louder = DiagnosisKey("bluezone", Opaque(b"\x5a" * 32), MONDAY, MONDAY + DAY, loudness=-8)
    export = KeyExport("bluezone", 1, MONDAY, PUBLISHED, "VN", (), revised=(louder,))

    read = key_export.read(key_export.write(export, SIGNING_KEY, "VN"), PUBLIC_KEY)

    assert read.keys == (louder,)
    with pytest.raises(KeyExportError):
        key_export.write(replace(export, keys=(replace(louder, loudness=13),)), SIGNING_KEY, "VN")


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


# what is refused


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
    key_export.check_sequence(key_export.read(written(), PUBLIC_KEY), applied)


@pytest.mark.parametrize("applied", [7, 8])
def test_an_older_batch_is_refused(applied: int) -> None:
    found = key_export.read(written(), PUBLIC_KEY)

    with pytest.raises(KeyExportError) as caught:
        key_export.check_sequence(found, applied)

    assert caught.value.reason is Reason.REPLAYED


def test_batches_of_others_have_no_order() -> None:
    key_export.check_sequence(export(sequence=None), 7)


# what is not even written


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


# for people


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


# a file that is read in pieces


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


def test_a_field_longer_than_any_is_refused() -> None:
    content = HEADER + protobuf.put_bytes(9, bytes(10)) * 2 + protobuf.put_bytes(9, os.urandom(200_000))

    assert refusal(packed(content, signature_entry(content))) is Reason.TOO_LARGE
