"""The signed batch between different hands: others' files, other people's tools, fields that either does not know."""

import base64
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from bluezoned import key_export, protobuf
from bluezoned.key_export import HEADER, INTERVAL, KeyExport, KeyExportError, Reason
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier
from tests import gaen_schema
from tests.signed_export import (
    MONDAY,
    PUBLIC_KEY,
    PUBLISHED,
    SIGNING_KEY,
    STRANGERS_KEY,
    VECTORS,
    foreign,
    key,
    members,
    packed,
    refusal,
    signature_entry,
    signed,
    written,
)


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


def test_loudness_of_a_key_known_before_is_read() -> None:
    louder = DiagnosisKey("bluezone", Opaque(b"\x5a" * 32), MONDAY, MONDAY + DAY, loudness=-8)
    export = KeyExport("bluezone", 1, MONDAY, PUBLISHED, "VN", (), revised=(louder,))

    read = key_export.read(key_export.write(export, SIGNING_KEY, "VN"), PUBLIC_KEY)

    assert read.keys == (louder,)
    with pytest.raises(KeyExportError):
        key_export.write(replace(export, keys=(replace(louder, loudness=13),)), SIGNING_KEY, "VN")
