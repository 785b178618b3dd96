"""Batches to test with: ours, and any message signed as an authority would sign it."""

import hashlib
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import strategies as st

from bluezoned import bounded_zip, key_export, protobuf
from bluezoned.key_export import HEADER, INTERVAL, KEY_SIZES, KeyExport, KeyExportError, Reason
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier
from bluezoned.protocols.registry import NAMES
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
