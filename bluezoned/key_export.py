"""The signed batch of diagnosis keys on the wire: GAEN's export container, for every protocol.

A zip of `export.bin` (export_message.py) and `export.sig` (ECDSA P-256 over the whole of export.bin). Specified with
what GAEN does not know in docs/protocols/key-export.md. Source: Exposure Key Export File Format, as published with the
Exposure Notification server.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from bluezoned import bounded_zip, export_message, protobuf
from bluezoned.bounded_zip import ArchiveError, Flaw
from bluezoned.export_message import HEADER, INTERVAL, KEY_SIZES, KeyExport, KeyExportError, Reason
from bluezoned.protobuf import ProtobufError
from bluezoned.protocols.protocol import DiagnosisKey, ReportType

__all__ = ["HEADER", "INTERVAL", "KEY_SIZES", "KeyExport", "KeyExportError", "Reason"]

LARGEST_FILE = 24 << 20
LARGEST_EXPORT = 32 << 20
"""Bytes of the zip and of export.bin. A key of 32 bytes takes 48 in export.bin and 33 in the zip, so this is 690,000
of them; a bomb is refused before it is unpacked, and what is unpacked is never more than this."""

LARGEST_SIGNATURES = 8 << 10
MOST_SIGNATURES = 10
"""GAEN allows ten signature infos, of 40 bytes and their signature of 72. More would only cost us verifications."""

_SIGNATURE_OID = b"1.2.840.10045.4.3.2"

_OF_FLAW = {
    Flaw.FOREIGN: Reason.MALFORMED,
    Flaw.DAMAGED: Reason.TRUNCATED,
    Flaw.ENCRYPTED: Reason.ENCRYPTED,
    Flaw.UNEXPECTED: Reason.MALFORMED,
    Flaw.TOO_LARGE: Reason.TOO_LARGE,
}


class _Signature(NamedTuple):
    """One entry of export.sig."""

    value: bytes
    """DER."""
    signed_as: tuple[bytes, int, int]
    """See export_message.Head. Not covered by any signature."""


def write(export: KeyExport, signing_key: ec.EllipticCurvePrivateKey, key_id: str, key_version: str = "v1") -> bytes:
    """The zip. Same keys in any order, same bytes but for the signature's nonce. KeyExportError for what a reader would
    refuse."""
    info = b"".join(
        (
            protobuf.put_bytes(3, key_version.encode()),
            protobuf.put_bytes(4, key_id.encode()),
            protobuf.put_bytes(5, _SIGNATURE_OID),
        )
    )
    content = export_message.encode(export, info)
    entry = (
        protobuf.put_bytes(1, info),
        protobuf.put_varint(2, 1),
        protobuf.put_varint(3, 1),
        protobuf.put_bytes(4, signing_key.sign(content, ec.ECDSA(SHA256()))),
    )
    signatures = protobuf.put_bytes(1, b"".join(entry))
    packed = bounded_zip.pack({"export.bin": content, "export.sig": signatures})
    if len(content) > LARGEST_EXPORT or len(signatures) > LARGEST_SIGNATURES or len(packed) > LARGEST_FILE:
        raise KeyExportError(Reason.TOO_LARGE)
    return packed


def read(data: bytes, public_key: ec.EllipticCurvePublicKey) -> KeyExport:
    """The batch. Its signature is verified before anything in it is looked at. KeyExportError says why not."""
    content, signatures = _unpack(data)
    _verify(content, _candidates(signatures), public_key)
    head = export_message.head(content)
    live: list[DiagnosisKey] = []
    revoked: list[DiagnosisKey] = []
    for key in export_message.keys(content, head):
        (revoked if key.report_type is ReportType.REVOKED else live).append(key)
    return KeyExport(head.protocol, head.sequence, head.start, head.end, head.region, tuple(live), tuple(revoked))


def check_sequence(export: KeyExport, applied: int | None) -> None:
    """KeyExportError(REPLAYED) unless the batch is newer than the newest applied one."""
    if export.sequence is not None and applied is not None and export.sequence <= applied:
        raise KeyExportError(Reason.REPLAYED)


def _unpack(data: bytes) -> tuple[bytes, bytes | None]:
    """export.bin and export.sig, each bounded."""
    if len(data) > LARGEST_FILE:
        raise KeyExportError(Reason.TOO_LARGE)
    try:
        members = bounded_zip.unpack(data, {"export.bin": LARGEST_EXPORT, "export.sig": LARGEST_SIGNATURES})
    except ArchiveError as error:
        raise KeyExportError(_OF_FLAW[error.flaw]) from error
    if "export.bin" not in members:
        raise KeyExportError(Reason.MALFORMED)
    return members["export.bin"], members.get("export.sig")


def _candidates(signatures: bytes | None) -> list[_Signature]:
    """The signatures in export.sig, at least one."""
    if signatures is None:
        raise KeyExportError(Reason.MISSING_SIGNATURE)
    try:
        entries = [value for number, value in protobuf.fields(memoryview(signatures)) if number == 1]
        if len(entries) > MOST_SIGNATURES:
            raise KeyExportError(Reason.TOO_LARGE)
        candidates = [_signature(entry) for entry in entries if isinstance(entry, memoryview)]
    except ProtobufError as error:
        raise export_message.unreadable(error) from error
    if not any(candidate.value for candidate in candidates):
        raise KeyExportError(Reason.EMPTY_SIGNATURE)
    return candidates


def _signature(entry: memoryview) -> _Signature:
    info = value = b""
    numbers = {2: 0, 3: 0}
    for field in protobuf.fields(entry):
        match field:
            case 1, memoryview() as part:
                info = bytes(part)
            case (2 | 3) as number, int(count):
                numbers[number] = count
            case 4, memoryview() as part:
                value = bytes(part)
    return _Signature(value, (info, numbers[2], numbers[3]))


def _verify(content: bytes, candidates: list[_Signature], public_key: ec.EllipticCurvePublicKey) -> None:
    """One signature by the pinned key is enough: an export may be signed for several readers."""
    hashed = Hash(SHA256())
    hashed.update(content)
    digest = hashed.finalize()
    for candidate in candidates:
        try:
            public_key.verify(candidate.value, digest, ec.ECDSA(Prehashed(SHA256())))
        except InvalidSignature:
            continue
        _require_repeated(content, candidate)
        return
    raise KeyExportError(Reason.WRONG_KEY)


def _require_repeated(content: bytes, signature: _Signature) -> None:
    """In export.sig only the signature itself is signed. In our own files the rest must repeat what is, so that none
    of it can be changed; others need not be so careful, and nothing reads it."""
    head = export_message.head(content)
    if head.sequence is not None and signature.signed_as not in head.signed_as:
        raise KeyExportError(Reason.WRONG_KEY)


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
    """ms."""
    end: int | None
    """ms."""
    region: str | None
    problem: str | None
    """Why it would be refused, for people."""


_OF_REASON = {Reason.MISSING_SIGNATURE: "missing", Reason.EMPTY_SIGNATURE: "missing"}


def inspect(data: bytes, public_key: ec.EllipticCurvePublicKey | None) -> Inspection:
    """What the file says, believed or not: `problem` is None when `read` would take it. Never raises."""
    nothing = Inspection("unchecked" if public_key is None else "invalid", None, None, 0, 0, None, None, None, None)
    try:
        content, signatures = _unpack(data)
    except KeyExportError as error:
        return replace(nothing, problem=str(error))
    signature, problem = _judge(content, signatures, public_key)
    try:
        head = export_message.head(content)
        counted = Counter(key.report_type is ReportType.REVOKED for key in export_message.keys(content, head))
    except KeyExportError as error:
        return replace(nothing, signature=signature, problem=problem or str(error))
    return Inspection(
        signature,
        head.protocol,
        head.sequence,
        counted[False],
        counted[True],
        head.start,
        head.end,
        head.region,
        problem,
    )


def _judge(
    content: bytes, signatures: bytes | None, public_key: ec.EllipticCurvePublicKey | None
) -> tuple[str, str | None]:
    """The word for the signature, and what is wrong with it."""
    try:
        candidates = _candidates(signatures)
        if public_key is None:
            return "unchecked", None
        _verify(content, candidates, public_key)
    except KeyExportError as error:
        return _OF_REASON.get(error.reason, "invalid"), str(error)
    return "valid", None
