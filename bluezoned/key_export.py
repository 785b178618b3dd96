"""The signed batch of diagnosis keys on the wire: GAEN's export container, for every protocol.

A zip of `export.bin` (16-byte header and a protobuf) and `export.sig` (ECDSA P-256 over the whole of export.bin).
What GAEN does not know travels in optional fields of high numbers, which its readers skip; docs/protocols/key-export.md
has the table. Source: Exposure Key Export File Format, as published with the Exposure Notification server.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bluezoned import protobuf
from bluezoned.errors import AuthorityError, ProtocolError
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DiagnosisKey, ReportType, Tier

HEADER = b"EK Export v1    "
INTERVAL = 600_000
"""ms; windows travel in whole intervals of ten minutes since 1970, whatever the protocol."""

LARGEST_FILE = 24 << 20
LARGEST_EXPORT = 32 << 20
"""Bytes of the zip and of export.bin. 500,000 keys of 32 bytes, the most that any authority has put in a file, take
about 28 MiB; a bomb is refused before it is unpacked, and what is unpacked is never more than this."""

LARGEST_SIGNATURES = 64 << 10
LONGEST_PERIOD = 144 * 15
"""Intervals: a day for GAEN; a chained key of the published Bluezone app may speak for up to 15 days."""

KEY_SIZES = {"gaen": 16, "bluezone": 32, "dp3t": 32}
"""Bytes of a key by protocol. No protocol in the file means GAEN."""

_SIGNATURE_OID = b"1.2.840.10045.4.3.2"


class Reason(Enum):
    """Why an export is not believed."""

    WRONG_KEY = "its signature is not by the pinned authority, or the file was changed"
    MISSING_SIGNATURE = "it has no export.sig"
    EMPTY_SIGNATURE = "its export.sig holds no signature"
    TRUNCATED = "it ends early or is damaged"
    TOO_LARGE = "it is larger than allowed"
    BAD_KEY_LENGTH = "a key in it has the wrong length for its protocol"
    BAD_WINDOW = "a key in it claims an impossible window of use"
    REPLAYED = "it is older than one applied before"
    UNKNOWN_PROTOCOL = "it speaks a protocol that is not known here"
    MALFORMED = "it is not a key export"


class KeyExportError(AuthorityError):
    """A batch that is not believed; nothing of it counts."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the key export is refused: {reason.value}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KeyExport:
    """One batch."""

    protocol: str
    sequence: int | None
    """Counts this authority's batches from 1; None in exports of others."""
    start: int
    """ms, whole seconds; what was received in [start, end) is in this batch."""
    end: int
    """ms, whole seconds; when it was published."""
    region: str
    keys: tuple[DiagnosisKey, ...]
    revoked: tuple[DiagnosisKey, ...] = ()
    """Keys published before and taken back; they travel as revised keys with report type REVOKED."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a file says, without a key or an identifier in it."""

    signature: str
    """`valid`, `invalid`, `missing` or `unchecked` (no public key was given)."""
    protocol: str | None
    sequence: int | None
    keys: int
    revoked: int
    start: int | None
    end: int | None
    region: str | None
    problem: str | None
    """Why it would be refused, for people."""


# writing


def write(export: KeyExport, signing_key: ec.EllipticCurvePrivateKey, key_id: str, key_version: str = "v1") -> bytes:
    """The zip. Keys are sorted by their bytes, so that the order of uploads tells nothing. Same input, same bytes but
    for the signature's nonce. KeyExportError for keys that a reader would refuse."""
    for key in (*export.keys, *export.revoked):
        _require_fit(key, export.protocol)
    info = (
        protobuf.put_bytes(3, key_version.encode())
        + protobuf.put_bytes(4, key_id.encode())
        + protobuf.put_bytes(5, _SIGNATURE_OID)
    )
    revoked = [replace(key, report_type=ReportType.REVOKED) for key in export.revoked]
    body = b"".join(
        (
            protobuf.put_fixed64(1, export.start // 1000),
            protobuf.put_fixed64(2, export.end // 1000),
            protobuf.put_bytes(3, export.region.encode()),
            protobuf.put_varint(4, 1),
            protobuf.put_varint(5, 1),
            protobuf.put_bytes(6, info),
            *(protobuf.put_bytes(7, _encode_key(key)) for key in _sorted(export.keys)),
            *(protobuf.put_bytes(8, _encode_key(key)) for key in _sorted(revoked)),
            protobuf.put_bytes(1001, export.protocol.encode()),
            b"" if export.sequence is None else protobuf.put_varint(1002, export.sequence),
        )
    )
    content = HEADER + body
    signature = signing_key.sign(content, ec.ECDSA(SHA256()))
    signatures = protobuf.put_bytes(
        1,
        protobuf.put_bytes(1, info)
        + protobuf.put_varint(2, 1)
        + protobuf.put_varint(3, 1)
        + protobuf.put_bytes(4, signature),
    )
    return _zip(content, signatures)


def _sorted(keys: Iterable[DiagnosisKey]) -> list[DiagnosisKey]:
    return sorted(keys, key=lambda key: (bytes(key.secret), key.start))


def _encode_key(key: DiagnosisKey) -> bytes:
    return b"".join(
        (
            protobuf.put_bytes(1, key.secret),
            protobuf.put_varint(3, key.start // INTERVAL),
            protobuf.put_varint(4, (key.end - key.start) // INTERVAL),
            protobuf.put_varint(5, key.report_type),
            b"" if key.days_since_onset is None else protobuf.put_signed(6, key.days_since_onset),
            b"" if key.tier is Tier.F0 else protobuf.put_varint(1001, key.tier),
        )
    )


def _zip(content: bytes, signatures: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (("export.bin", content), ("export.sig", signatures)):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


# reading


def read(data: bytes, public_key: ec.EllipticCurvePublicKey) -> KeyExport:
    """The batch. Its signature is verified before anything in it is looked at. KeyExportError says why not."""
    content, signatures = _unzip(data)
    if signatures is None:
        raise KeyExportError(Reason.MISSING_SIGNATURE)
    _verify(content, signatures, public_key)
    return _parse(content)


def inspect(data: bytes, public_key: ec.EllipticCurvePublicKey | None) -> Inspection:
    """What the file says, believed or not. Never raises."""
    try:
        content, signatures = _unzip(data)
    except KeyExportError as error:
        return Inspection("missing", None, None, 0, 0, None, None, None, str(error))
    signature, problem = _judge(content, signatures, public_key)
    try:
        export = _parse(content)
    except KeyExportError as error:
        return Inspection(signature, None, None, 0, 0, None, None, None, str(error))
    return Inspection(
        signature,
        export.protocol,
        export.sequence,
        len(export.keys),
        len(export.revoked),
        export.start,
        export.end,
        export.region,
        problem,
    )


def check_sequence(export: KeyExport, applied: int | None) -> None:
    """KeyExportError(REPLAYED) unless the batch is newer than the newest applied one."""
    if export.sequence is not None and applied is not None and export.sequence <= applied:
        raise KeyExportError(Reason.REPLAYED)


def _judge(
    content: bytes, signatures: bytes | None, public_key: ec.EllipticCurvePublicKey | None
) -> tuple[str, str | None]:
    if not signatures:
        reason = Reason.MISSING_SIGNATURE if signatures is None else Reason.EMPTY_SIGNATURE
        return "missing", str(KeyExportError(reason))
    if public_key is None:
        return "unchecked", None
    try:
        _verify(content, signatures, public_key)
    except KeyExportError as error:
        return "missing" if error.reason is Reason.EMPTY_SIGNATURE else "invalid", str(error)
    return "valid", None


def _unzip(data: bytes) -> tuple[bytes, bytes | None]:
    """export.bin and export.sig, each bounded."""
    if len(data) > LARGEST_FILE:
        raise KeyExportError(Reason.TOO_LARGE)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {member.filename: member for member in archive.infolist()}
            if len(members) != len(archive.infolist()) or not set(members) <= {"export.bin", "export.sig"}:
                raise KeyExportError(Reason.MALFORMED)
            if "export.bin" not in members:
                raise KeyExportError(Reason.MALFORMED)
            content = _member(archive, members["export.bin"], LARGEST_EXPORT)
            signature = members.get("export.sig")
            return content, None if signature is None else _member(archive, signature, LARGEST_SIGNATURES)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, OverflowError) as error:
        raise KeyExportError(Reason.TRUNCATED) from error
    except (NotImplementedError, RuntimeError, zipfile.LargeZipFile) as error:
        # An encrypted member, or one packed in a way that no export is.
        raise KeyExportError(Reason.MALFORMED) from error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    if member.file_size > most:
        raise KeyExportError(Reason.TOO_LARGE)
    with archive.open(member) as file:
        # The size in the directory may lie: read one byte more than allowed and no further.
        content = file.read(most + 1)
    if len(content) > most:
        raise KeyExportError(Reason.TOO_LARGE)
    return content


def _verify(content: bytes, signatures: bytes, public_key: ec.EllipticCurvePublicKey) -> None:
    """One signature by the pinned key is enough: an export may be signed for several readers."""
    candidates = list(_signatures(signatures))
    if not any(candidates):
        raise KeyExportError(Reason.EMPTY_SIGNATURE)
    for candidate in candidates:
        try:
            public_key.verify(candidate, content, ec.ECDSA(SHA256()))
        except InvalidSignature:
            continue
        return
    raise KeyExportError(Reason.WRONG_KEY)


def _signatures(data: bytes) -> Iterator[bytes]:
    try:
        for entry in protobuf.fields(memoryview(data)):
            if entry.number == 1 and isinstance(entry.value, memoryview):
                for part in protobuf.fields(entry.value):
                    if part.number == 4 and isinstance(part.value, memoryview):
                        yield bytes(part.value)
    except ProtocolError as error:
        raise KeyExportError(Reason.TRUNCATED) from error


def _parse(content: bytes) -> KeyExport:
    if not content.startswith(HEADER):
        raise KeyExportError(Reason.MALFORMED)
    start = end = 0
    sequence: int | None = None
    texts = {3: "", 1001: "gaen"}
    keys: list[memoryview] = []
    revised: list[memoryview] = []
    try:
        for number, value in protobuf.fields(memoryview(content)[len(HEADER) :]):
            match number, value:
                case 1, int(seconds):
                    start = seconds * 1000
                case 2, int(seconds):
                    end = seconds * 1000
                case ((3 | 1001), memoryview()):
                    texts[number] = bytes(value).decode()
                case 7, memoryview():
                    keys.append(value)
                case 8, memoryview():
                    revised.append(value)
                case 1002, int():
                    sequence = value
        protocol = texts[1001]
        if protocol not in KEY_SIZES:
            raise KeyExportError(Reason.UNKNOWN_PROTOCOL)
        parsed = [_parse_key(key, protocol) for key in keys]
        parsed_revised = [_parse_key(key, protocol) for key in revised]
    except (ProtocolError, UnicodeDecodeError) as error:
        raise KeyExportError(Reason.TRUNCATED) from error
    live = parsed + [key for key in parsed_revised if key.report_type is not ReportType.REVOKED]
    revoked = tuple(key for key in parsed_revised if key.report_type is ReportType.REVOKED)
    return KeyExport(protocol, sequence, start, end, texts[3], tuple(live), revoked)


def _parse_key(data: memoryview, protocol: str) -> DiagnosisKey:
    secret = b""
    interval, period, report_type, tier = 0, 144, 0, 0
    onset: int | None = None
    for number, value in protobuf.fields(data):
        match number, value:
            case 1, memoryview():
                secret = bytes(value)
            case 3, int():
                interval = value
            case 4, int():
                period = value
            case 5, int():
                report_type = value
            case 6, int():
                onset = protobuf.zigzag(value)
            case 1001, int():
                tier = value
    if not 1 <= period <= LONGEST_PERIOD or interval >= 1 << 31:
        raise KeyExportError(Reason.BAD_WINDOW)
    # Report types and tiers of later versions are read as the least that they can mean.
    report = ReportType(report_type) if report_type <= max(ReportType) else ReportType.UNKNOWN
    start = interval * INTERVAL
    key = DiagnosisKey(
        protocol,
        Opaque(secret),
        start,
        start + period * INTERVAL,
        Tier(tier) if tier in (Tier.F0, Tier.F1) else Tier.F2,
        report,
        onset if onset is not None and -14 <= onset <= 14 else None,
    )
    _require_fit(key, protocol)
    return key


def _require_fit(key: DiagnosisKey, protocol: str) -> None:
    if protocol not in KEY_SIZES or key.protocol != protocol:
        raise KeyExportError(Reason.UNKNOWN_PROTOCOL)
    if len(key.secret) != KEY_SIZES[protocol]:
        raise KeyExportError(Reason.BAD_KEY_LENGTH)
    if key.start % INTERVAL or key.end % INTERVAL or not 0 <= key.start < key.end:
        raise KeyExportError(Reason.BAD_WINDOW)
