"""What a box has on a national day: an export of a million keys in its inbox, and fourteen days of encounters.

The export is put together here, not by `key_export.write`, which holds all keys as objects: the bytes are those that it
would write for the same keys, of mixed lengths, but for the order.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bluezoned import protobuf
from bluezoned.export_message import HEADER, INTERVAL, KEY_SIZES
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Payload, ReportType
from bluezoned.tracing.encounter import Encounter
from bluezoned.tracing.proximity import MINUTE, Minute

FIRST_DAY = 20_759
DAYS = 14
PUBLISHED = (FIRST_DAY + DAYS + 1) * DAY
SIGNING_KEY = ec.derive_private_key(2020, ec.SECP256R1())
STORE_KEY = bytes(32)
PLANTED = 20
HOUR = 60 * MINUTE

Profile = Callable[[random.Random], int]
"""When in a day (ms from midnight) somebody is met."""


def all_day(rng: random.Random) -> int:
    """A kiosk, or whoever lives in a crowd: every interval of the day is sighted."""
    return rng.randrange(DAY - 20 * MINUTE)


def commuter(rng: random.Random) -> int:
    """The ways to work and back, and the lunch between."""
    start, hours = rng.choice(((7, 1), (12, 1), (17, 1)))
    return start * HOUR + rng.randrange(hours * HOUR)


def ward(rng: random.Random) -> int:
    """One shift."""
    return 6 * HOUR + rng.randrange(8 * HOUR)


@dataclass(frozen=True, slots=True)
class NationalDay:
    """The keys, those among them that were met, and everybody else."""

    protocol: str
    export: Path
    planted: tuple[bytes, ...]
    encounters: list[Encounter]


def build(
    directory: Path,
    protocol: str,
    keys: int,
    a_day: int,
    profile: Profile = all_day,
    sighted_days: range = range(DAYS),
    seed: int = 1,
) -> NationalDay:
    """`keys` in the export, of days chosen evenly; `a_day` encounters on each of `sighted_days`, and among them those
    with the PLANTED keys."""
    rng = random.Random(seed)
    speak = registry.by_name(protocol)
    size = KEY_SIZES[protocol]
    secrets = rng.randbytes(keys * size)
    starts = [(FIRST_DAY + rng.randrange(DAYS)) * DAY for _ in range(keys)]
    records = list(_records(rng, secrets, starts, size))
    place = directory / f"{protocol}-{keys}-{seed}.zip"
    place.write_bytes(_signed(protocol, records))
    strangers = 12 if protocol == "bluezone" else 16
    encounters = [
        _encounter(protocol, rng.randbytes(strangers), (FIRST_DAY + day) * DAY + profile(rng), 1 + rng.randrange(3))
        for day in sighted_days
        for _ in range(a_day)
    ]
    can_be_met = [number for number in range(keys) if starts[number] // DAY - FIRST_DAY in sighted_days]
    planted = rng.sample(can_be_met, min(PLANTED, len(can_be_met)))
    for number in planted:
        secret = secrets[number * size :][:size]
        key = DiagnosisKey(protocol, Opaque(secret), starts[number], starts[number] + DAY)
        window = rng.choice(speak.expand(key)[20:60])
        encounters.append(_encounter(protocol, window.rolling_id, window.start, 5))
    encounters.sort(key=lambda encounter: encounter.start)
    return NationalDay(protocol, place, tuple(secrets[n * size :][:size] for n in sorted(planted)), encounters)


def _records(rng: random.Random, secrets: bytes, starts: list[int], size: int) -> Iterator[bytes]:
    """One in three without an onset, one in ten of another report type, so of three lengths."""
    tails = {
        (start, number): protobuf.put_varint(3, start // INTERVAL)
        + protobuf.put_varint(4, 144)
        + protobuf.put_varint(5, ReportType.CONFIRMED_TEST if number % 10 else ReportType.CONFIRMED_CLINICAL)
        + (b"" if number % 3 == 0 else protobuf.put_signed(6, number - 14))
        + (b"" if number % 10 else protobuf.put_varint(1001, 1))
        for start in set(starts)
        for number in range(29)
    }
    head = bytes((0x0A, size))
    for number, start in enumerate(starts):
        record = head + secrets[number * size : (number + 1) * size] + tails[start, rng.randrange(29)]
        yield bytes((0x3A, len(record))) + record


def _signed(protocol: str, records: list[bytes]) -> bytes:
    info = (
        protobuf.put_bytes(3, b"v1") + protobuf.put_bytes(4, b"bench") + protobuf.put_bytes(5, b"1.2.840.10045.4.3.2")
    )
    content = b"".join(
        (
            HEADER,
            protobuf.put_fixed64(1, FIRST_DAY * DAY // 1000),
            protobuf.put_fixed64(2, PUBLISHED // 1000),
            protobuf.put_varint(4, 1),
            protobuf.put_varint(5, 1),
            protobuf.put_bytes(6, info),
            *records,
            protobuf.put_bytes(1001, protocol.encode()),
            protobuf.put_varint(1002, 1),
        )
    )
    entry = (
        protobuf.put_bytes(1, info)
        + protobuf.put_varint(2, 1)
        + protobuf.put_varint(3, 1)
        + protobuf.put_bytes(4, SIGNING_KEY.sign(content, ec.ECDSA(SHA256())))
    )
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("export.bin", content)
        archive.writestr("export.sig", protobuf.put_bytes(1, entry))
    return packed.getvalue()


def _encounter(protocol: str, rolling_id: bytes, start: int, minutes: int) -> Encounter:
    first = start - start % MINUTE
    heard = tuple(Minute(first + number * MINUTE, 6, -71.25, -66, -69.5) for number in range(minutes))
    return Encounter(protocol, Payload(Opaque(rolling_id), None), start, heard[-1].at + MINUTE - 1, heard)
