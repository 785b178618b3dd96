"""The signed batch of diagnosis keys on the wire: GAEN's export container, for every protocol.

A zip of `export.bin` (export_message.py) and `export.sig` (ECDSA P-256 over the whole of export.bin). Specified with
what GAEN does not know in docs/protocols/key-export.md. Source: Exposure Key Export File Format, as published with the
Exposure Notification server.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import SEEK_END, BytesIO
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from bluezoned import bounded_zip, export_message, protobuf
from bluezoned.bounded_zip import Archive, ArchiveError, Flaw
from bluezoned.export_message import HEADER, INTERVAL, KEY_SIZES, Head, KeyExport, KeyExportError, Reason, Terms
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
    """The batch, all of it in memory. KeyExportError says why not."""
    batch = Batch(BytesIO(data), public_key)
    live: list[DiagnosisKey] = []
    revoked: list[DiagnosisKey] = []
    for secret, terms in batch:
        (revoked if terms.report_type is ReportType.REVOKED else live).append(terms.key(secret))
    head = batch.head
    return KeyExport(head.protocol, head.sequence, head.start, head.end, head.region, tuple(live), tuple(revoked))


class Batch:
    """A batch in a file that is only read, a chunk at a time: of a million keys some hundred kilobytes are in memory.

    It is read three times: for its signature, before which nothing in it is looked at; for its head, part of which
    stands behind the keys; for the keys. Each time it must be the same: whoever brought the file may write to it.
    """

    def __init__(self, file: BinaryIO, *public_keys: ec.EllipticCurvePublicKey) -> None:
        """Signed by one of the keys. KeyExportError says why the batch is not believed."""
        self._archive = _archive(file)
        digest = _digest(_content(self._archive))
        verified, self.signer = _verify(digest, _candidates(self._archive), public_keys)
        self.digest = digest
        """SHA-256 of export.bin, which is what was signed."""
        self.head = export_message.head(self._verified_chunks())
        _require_repeated(self.head, verified)

    def __iter__(self) -> Iterator[tuple[bytes, Terms]]:
        """Each key's secret, and what is said of it: see export_message.keys. KeyExportError at a key that cannot be,
        and at the end when the file has changed under us: then nothing of it counts."""
        return export_message.keys(self._verified_chunks(), self.head)

    def _verified_chunks(self) -> Iterator[bytes]:
        """Ends with KeyExportError unless the bytes were those whose signature was verified."""
        hashed = Hash(SHA256())
        for chunk in _content(self._archive):
            hashed.update(chunk)
            yield chunk
        if hashed.finalize() != self.digest:
            raise KeyExportError(Reason.WRONG_KEY)


def signed_digest(data: bytes) -> bytes:
    """SHA-256 of an export's export.bin, which is what its signature is over. KeyExportError when it is no export."""
    return _digest(_content(_archive(BytesIO(data))))


def check_sequence(sequence: int | None, applied: int | None) -> None:
    """KeyExportError(REPLAYED) unless the batch of that number is newer than the newest applied one."""
    if sequence is not None and applied is not None and sequence <= applied:
        raise KeyExportError(Reason.REPLAYED)


def _archive(file: BinaryIO) -> Archive:
    """An archive with an export.bin, everything in it bounded."""
    if file.seek(0, SEEK_END) > LARGEST_FILE:
        raise KeyExportError(Reason.TOO_LARGE)
    try:
        archive = Archive(file, {"export.bin": LARGEST_EXPORT, "export.sig": LARGEST_SIGNATURES})
    except ArchiveError as error:
        raise KeyExportError(_OF_FLAW[error.flaw]) from error
    if "export.bin" not in archive.names:
        raise KeyExportError(Reason.MALFORMED)
    return archive


def _content(archive: Archive) -> Iterator[bytes]:
    """export.bin, in pieces."""
    return _told(archive.chunks("export.bin"))


def _told(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same; what is wrong with the archive, in the words of exports."""
    try:
        yield from chunks
    except ArchiveError as error:
        raise KeyExportError(_OF_FLAW[error.flaw]) from error


def _digest(chunks: Iterable[bytes]) -> bytes:
    hashed = Hash(SHA256())
    for chunk in chunks:
        hashed.update(chunk)
    return hashed.finalize()


def _candidates(archive: Archive) -> list[_Signature]:
    """The signatures in export.sig, at least one."""
    if "export.sig" not in archive.names:
        raise KeyExportError(Reason.MISSING_SIGNATURE)
    signatures = b"".join(_told(archive.chunks("export.sig")))
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


def _verify(
    digest: bytes, candidates: list[_Signature], public_keys: Sequence[ec.EllipticCurvePublicKey]
) -> tuple[_Signature, ec.EllipticCurvePublicKey]:
    """The first signature by one of the keys, and that key. One is enough: an export may be signed for several
    readers."""
    for public_key, candidate in itertools.product(public_keys, candidates):
        try:
            public_key.verify(candidate.value, digest, ec.ECDSA(Prehashed(SHA256())))
        except InvalidSignature:
            continue
        return candidate, public_key
    raise KeyExportError(Reason.WRONG_KEY)


def _require_repeated(head: Head, signature: _Signature) -> None:
    """In export.sig only the signature itself is signed. In our own files the rest must repeat what is, so that none
    of it can be changed; others need not be so careful, and nothing reads it."""
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
        archive = _archive(BytesIO(data))
        digest = _digest(_content(archive))
    except KeyExportError as error:
        return replace(nothing, problem=str(error))
    signature, problem = _judge(archive, digest, public_key)
    try:
        head = export_message.head(_content(archive))
        counted = Counter(
            terms.report_type is ReportType.REVOKED for _, terms in export_message.keys(_content(archive), head)
        )
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


def _judge(archive: Archive, digest: bytes, public_key: ec.EllipticCurvePublicKey | None) -> tuple[str, str | None]:
    """The word for the signature, and what is wrong with it."""
    try:
        candidates = _candidates(archive)
        if public_key is None:
            return "unchecked", None
        verified, _ = _verify(digest, candidates, [public_key])
        _require_repeated(export_message.head(_content(archive)), verified)
    except KeyExportError as error:
        return _OF_REASON.get(error.reason, "invalid"), str(error)
    return "valid", None
