"""Mutated key exports, and indexes, logs, uploads and receipts beside them, through everything that reads them.

    python -m tests.fuzz.key_export --count 100000 [--seed 1]

prints one JSON object: how many inputs of each kind were read and how many refused for which reason, exceptions that
are not declared (0, or the run ends with status 1) and the first input that raised one, seconds, and by how many bytes
the process grew after its first tenth. Half of the exports are mutated before they are signed: only so is the parser
behind the signature reached. There are `count` exports, and a quarter as many of each other kind.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.hashes import SHA256

from bluezoned import (
    bounded_zip,
    key_export,
    key_index,
    key_rotation,
    merkle_tree,
    protobuf,
    transparency_log,
    upload,
)
from bluezoned.key_export import HEADER, KEY_SIZES, Inspection, KeyExport, KeyExportError
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.merkle_tree import Frontier
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier
from bluezoned.protocols.registry import NAMES
from bluezoned.signed_document import DocumentError
from bluezoned.transparency_log import LogError
from bluezoned.upload import Receipt, ReceiptError, Upload, UploadError
from tests.fuzz.advertisement import resident_bytes
from tests.fuzz.mutation import mutated, reshaped, reshaped_json
from tests.logbook import Logbook

SIGNING_KEY = ec.derive_private_key(2020, ec.SECP256R1())
PUBLIC_KEY = SIGNING_KEY.public_key()
SEALING_SECRET = bytes(range(96))
SEALING_KEY = upload.public_sealing_key(SEALING_SECRET)
MONDAY = 20_000 * DAY
_OTHERS_OF = 4

Make = Callable[[random.Random], bytes]
Exercise = Callable[[bytes], str]
"""Gives `read`, or why not. AssertionError when a promise is broken, whatever else when an exception is undeclared."""


class Subject(NamedTuple):
    """One kind of input."""

    make: Make
    exercise: Exercise
    every: int
    """One such input for so many exports."""


def run(count: int, seed: int, used: Callable[[], int]) -> dict[str, object]:
    """`used` tells the bytes in use, before and after: the process's or tracemalloc's."""
    rng = random.Random(seed)
    subjects = _subjects(rng)
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in subjects}
    exceptions: Counter[str] = Counter()
    first_failure = ""
    settled, started = 0, time.perf_counter()
    for number in range(count):
        if number == count // 10:
            settled = used()
        for name, subject in subjects.items():
            if number % subject.every:
                continue
            data = subject.make(rng)
            try:
                outcomes[name][subject.exercise(data)] += 1
            except Exception as error:
                exceptions[f"{name}: {type(error).__name__}"] += 1
                first_failure = first_failure or f"{name}: {data.hex()}"
    return {
        "exports": count,
        "seed": seed,
        "outcomes": {name: dict(sorted(counted.items())) for name, counted in outcomes.items()},
        "exceptions": sum(exceptions.values()),
        "exception_types": dict(exceptions),
        "first_failure": first_failure,
        "grown_bytes": used() - settled,
        "seconds": round(time.perf_counter() - started, 1),
    }


# what is read


def exercise_export(data: bytes) -> str:
    """`read` and `inspect` must agree."""
    inspection = key_export.inspect(data, PUBLIC_KEY)
    try:
        found = key_export.read(data, PUBLIC_KEY)
    except KeyExportError as error:
        reason, problem = error.reason.name, str(error)  # the error itself would hold this frame, and this frame it
    else:
        _require_sound(found, inspection)
        return "read"
    assert inspection.problem == problem
    assert (inspection.signature == "missing") == reason.endswith("_SIGNATURE")
    return reason


def _require_sound(found: KeyExport, inspection: Inspection) -> None:
    assert (inspection.signature, inspection.problem) == ("valid", None)
    assert (inspection.keys, inspection.revoked) == (len(found.keys), len(found.revoked))
    for key in (*found.keys, *found.revoked):
        assert len(key.secret) == KEY_SIZES[found.protocol]
        assert 0 <= key.start < key.end <= key.start + 15 * DAY
    assert all(key.report_type is ReportType.REVOKED for key in found.revoked)


def exercise_index(data: bytes) -> str:
    """What is read can be peeked at, and what is peeked at can be fetched."""
    try:
        peeked = key_index.peek(data)
        key_rotation.follow(PUBLIC_KEY, peeked.rotations)
        assert all(key_index.is_batch_name(batch.name) for batch in peeked.batches)
        assert key_index.read(data, PUBLIC_KEY) == peeked
    except DocumentError as error:
        return error.reason.name
    return "read"


def exercise_log(data: bytes) -> str:
    """What is read can be peeked at, and a box that has seen nothing takes it or names the contradiction."""
    try:
        peeked = transparency_log.peek(data)
        key_rotation.follow(PUBLIC_KEY, peeked.rotations)
        assert transparency_log.read(data, PUBLIC_KEY) == peeked
        transparency_log.continued(peeked, Frontier(), ())
    except DocumentError as error:
        return error.reason.name
    except LogError as error:
        return error.contradiction.name
    return "read"


def exercise_upload(data: bytes) -> str:
    """What is opened can be sealed."""
    try:
        upload.seal(upload.open_sealed(data, SEALING_SECRET), SEALING_KEY)
    except UploadError:
        return "UploadError"
    return "read"


def exercise_receipt(data: bytes) -> str:
    """What is read can be written."""
    try:
        upload.write_receipt(upload.read_receipt(data, PUBLIC_KEY), SIGNING_KEY)
    except ReceiptError:
        return "ReceiptError"
    return "read"


# what is made


def _subjects(rng: random.Random) -> dict[str, Subject]:
    exports = [_genuine_export(rng, protocol, keys) for protocol in NAMES for keys in (0, 1, 5)]
    unpacked = [bounded_zip.unpack(data, {"export.bin": 1 << 16, "export.sig": 1 << 12}) for data in exports]
    contents = [members["export.bin"] for members in unpacked]
    lists = [members["export.sig"] for members in unpacked]
    index = _genuine_index(rng)
    body = index.partition(b"\n")[2]
    log = Logbook(SIGNING_KEY, merkle_tree.leaf_hash).signed(exports)
    told = log.partition(b"\n")[2]
    sealed = upload.seal(_genuine_upload(rng), SEALING_KEY)
    plain = _opened(sealed)
    receipt = upload.write_receipt(Receipt(Opaque(rng.randbytes(16)), True, "", Tier.F1, MONDAY), SIGNING_KEY)

    def resigned(rng: random.Random) -> bytes:
        number = rng.randrange(len(contents))
        message = contents[number][len(HEADER) :]
        spoilt = HEADER + (reshaped(rng, message) if rng.random() < 0.6 else mutated(rng, message, contents, 4))
        return _packed(spoilt, _signature_list(spoilt, lists[number]))

    def with_spoilt_signatures(rng: random.Random) -> bytes:
        number = rng.randrange(len(contents))
        return _packed(contents[number], mutated(rng, lists[number], lists, 3))

    def of_an_export(rng: random.Random) -> bytes:
        draw = rng.random()
        if draw < 0.5:
            return resigned(rng)
        if draw < 0.65:
            return with_spoilt_signatures(rng)
        if draw < 0.7:
            return _packed(mutated(rng, rng.choice(contents), contents), rng.choice(lists))
        return mutated(rng, rng.choice(exports), exports, 3)

    def of_an_index(rng: random.Random) -> bytes:
        draw = rng.random()
        if draw < 0.3:
            return mutated(rng, index, [body])
        if draw < 0.6:
            return _signed("index", mutated(rng, body, [body], 3))
        return _signed("index", json.dumps(reshaped_json(rng, json.loads(body))).encode())

    def of_a_log(rng: random.Random) -> bytes:
        draw = rng.random()
        if draw < 0.3:
            return mutated(rng, log, [told])
        if draw < 0.6:
            return _signed("log", mutated(rng, told, [told], 3))
        return _signed("log", json.dumps(reshaped_json(rng, json.loads(told))).encode())

    def of_an_upload(rng: random.Random) -> bytes:
        if rng.random() < 0.3:
            return mutated(rng, sealed, [plain])
        return _sealed(mutated(rng, plain, [plain], 3)[: len(plain)].ljust(len(plain), b"\0"))

    def of_a_receipt(rng: random.Random) -> bytes:
        if rng.random() < 0.3:
            return mutated(rng, receipt, [receipt])
        return _signed_receipt(mutated(rng, receipt[:50], [], 3)[:50].ljust(50, b"\0"))

    return {
        "export": Subject(of_an_export, exercise_export, 1),
        "index": Subject(of_an_index, exercise_index, _OTHERS_OF),
        "log": Subject(of_a_log, exercise_log, _OTHERS_OF),
        "upload": Subject(of_an_upload, exercise_upload, _OTHERS_OF),
        "receipt": Subject(of_a_receipt, exercise_receipt, _OTHERS_OF),
    }


def _genuine_export(rng: random.Random, protocol: str, count: int) -> bytes:
    size = KEY_SIZES[protocol]
    keys = [
        DiagnosisKey(protocol, Opaque(rng.randbytes(size)), MONDAY, MONDAY + DAY, tier, days_since_onset=2)
        for tier in (Tier.F0, Tier.F1)
        for _ in range(count)
    ]
    whole = KeyExport(protocol, 7, MONDAY, MONDAY + 2 * DAY, "VN", tuple(keys[:count]), tuple(keys[count:]))
    return key_export.write(whole, SIGNING_KEY, "452")


def _genuine_index(rng: random.Random) -> bytes:
    batches = [Batch(n, f"gaen-{n}.zip", 505, rng.randbytes(32), "gaen", MONDAY, MONDAY + 1) for n in range(1, 5)]
    rotation = key_rotation.rotate(SIGNING_KEY, ec.derive_private_key(2021, ec.SECP256R1()).public_key(), MONDAY, 2)
    index = KeyIndex("vn", 4, MONDAY, MONDAY + DAY, SEALING_KEY, tuple(batches), (rotation,))
    return key_index.write(index, SIGNING_KEY)


def _genuine_upload(rng: random.Random) -> Upload:
    keys = [DiagnosisKey("bluezone", Opaque(rng.randbytes(32)), MONDAY, MONDAY + DAY) for _ in range(3)]
    return Upload("K7QX9M2PWDHT4VNB", tuple(keys), Opaque(rng.randbytes(16)))


def _packed(content: bytes, signatures: bytes) -> bytes:
    return bounded_zip.pack({"export.bin": content, "export.sig": signatures})


def _sign(data: bytes) -> bytes:
    return SIGNING_KEY.sign(data, ec.ECDSA(SHA256()))


def _signature_list(content: bytes, like: bytes) -> bytes:
    """The list `like` another, with a signature over `content`."""
    ((_, entry),) = protobuf.fields(memoryview(like))
    assert isinstance(entry, memoryview)
    parts = {number: value for number, value in protobuf.fields(entry)}
    assert isinstance(parts[1], memoryview)
    return protobuf.put_bytes(
        1,
        protobuf.put_bytes(1, bytes(parts[1]))
        + protobuf.put_varint(2, 1)
        + protobuf.put_varint(3, 1)
        + protobuf.put_bytes(4, _sign(content)),
    )


def _signed(document: str, body: bytes) -> bytes:
    return base64.b64encode(_sign(b"bluezoned %s v1\n" % document.encode() + body)) + b"\n" + body


def _signed_receipt(body: bytes) -> bytes:
    signature = _sign(b"bluezoned receipt v1\n" + body)
    return body + bytes((len(signature),)) + signature.ljust(72, b"\0")


_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_PRIVATE = hpke.MLKEM768X25519PrivateKey(
    mlkem.MLKEM768PrivateKey.from_seed_bytes(SEALING_SECRET[:64]),
    x25519.X25519PrivateKey.from_private_bytes(SEALING_SECRET[64:]),
)


def _sealed(plain: bytes) -> bytes:
    return _SUITE.encrypt(plain, _PRIVATE.public_key(), b"bluezoned upload v1")


def _opened(sealed: bytes) -> bytes:
    return _SUITE.decrypt(sealed, _PRIVATE, b"bluezoned upload v1")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    report = run(arguments.count, arguments.seed, resident_bytes)
    print(json.dumps(report))
    return 1 if report["exceptions"] else 0


if __name__ == "__main__":
    sys.exit(main())
