"""Random and mutated advertisements through `decode` and every protocol's `read`.

    python -m tests.fuzz.advertisement --count 1000000 [--seed 1]

prints one JSON object: how many advertisements, how many of them read as whose, exceptions (0, or the run ends with
status 1) and the first input that raised one, seconds, and by how many bytes the process grew after its first tenth.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from bluezoned.advertisement import decode
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DiagnosisKey, TracingProtocol
from bluezoned.protocols.registry import NAMES, by_name

FLAGS = bytes.fromhex("02011a")
EXTENDED_SIZE = 254
"""Bytes of advertising data in one extended PDU: what a scanner may hand over beyond the 31 of a legacy one."""
_OPENED_OF = 50
"""One in so many payloads is also opened with a published key: that costs a hundred times as much as reading."""

Mutation = Callable[[random.Random, bytearray], None]


def advertisements(rng: random.Random, count: int) -> Iterator[bytes]:
    """A fifth random, the rest genuine ones of every protocol with up to eight mutations."""
    genuine = _genuine(rng)
    for _ in range(count):
        if rng.random() < 0.2:
            yield rng.randbytes(rng.randrange(EXTENDED_SIZE + 1))
            continue
        data = bytearray(rng.choice(genuine))
        for _ in range(rng.randrange(9)):
            rng.choice(_MUTATIONS)(rng, data)
        yield bytes(data[:EXTENDED_SIZE])


def exercise(data: bytes, protocols: list[TracingProtocol], keys: dict[str, DiagnosisKey], opened: bool) -> list[str]:
    """Names of the protocols that read it. AssertionError when a payload breaks the port's promise."""
    readers = []
    advertisement = decode(data)
    for protocol in protocols:
        payload = protocol.read(advertisement)
        if payload is None:
            continue
        readers.append(protocol.name)
        if len(payload.rolling_id) not in (12, 16) or (payload.metadata is not None and len(payload.metadata) != 4):
            raise AssertionError("a payload of the wrong size")
        tx_power = protocol.tx_power(keys[protocol.name], payload) if opened else None
        if tx_power is not None and not -50 <= tx_power <= 20:
            raise AssertionError("an implausible transmit power")
    return readers


def run(count: int, seed: int, used: Callable[[], int]) -> dict[str, object]:
    """`used` tells the bytes in use, before and after: the process's or tracemalloc's."""
    rng = random.Random(seed)
    protocols = [by_name(name) for name in NAMES]
    keys = {p.name: DiagnosisKey(p.name, Opaque(bytes(p.key_size)), 0, DAY) for p in protocols}
    read_as: Counter[str] = Counter()
    exceptions: Counter[str] = Counter()
    first_failure = ""
    settled, started = 0, time.perf_counter()
    for number, data in enumerate(advertisements(rng, count)):
        if number == count // 10:
            settled = used()
        try:
            read_as.update(exercise(data, protocols, keys, number % _OPENED_OF == 0) or ["none"])
        except Exception as error:
            exceptions[type(error).__name__] += 1
            first_failure = first_failure or data.hex()
    return {
        "advertisements": count,
        "seed": seed,
        "read_as": dict(sorted(read_as.items())),
        "exceptions": sum(exceptions.values()),
        "exception_types": dict(exceptions),
        "first_failure": first_failure,
        "grown_bytes": used() - settled,
        "seconds": round(time.perf_counter() - started, 1),
    }


def resident_bytes() -> int:
    """Resident set of this process. Source: proc_pid_statm(5), second field, pages."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _genuine(rng: random.Random) -> list[bytes]:
    """Frames with and without flags; of the key of zeros too, so that some are opened."""
    frames = []
    for protocol in map(by_name, NAMES):
        zeros = protocol.daily_key(0, DAY, None, bytes)
        fresh = protocol.daily_key(0, DAY, None, rng.randbytes)
        for at in rng.sample(range(0, DAY, protocol.rotation), 16):
            frames += [protocol.advertisement(key, at, rng.randrange(-127, 128)).encode() for key in (zeros, fresh)]
    return frames + [FLAGS + frame for frame in frames]


def _flip(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 2, 3, 0x16, 0x1F, 0xFF, rng.randrange(256)))


def _insert(rng: random.Random, data: bytearray) -> None:
    position = rng.randrange(len(data) + 1)
    data[position:position] = rng.randbytes(rng.randrange(1, 5))


def _delete(rng: random.Random, data: bytearray) -> None:
    position = rng.randrange(len(data) + 1)
    del data[position : position + rng.randrange(1, 5)]


def _truncate(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _repeat(rng: random.Random, data: bytearray) -> None:
    position = rng.randrange(len(data) + 1)
    data += data[position:]


def _append_structure(rng: random.Random, data: bytearray) -> None:
    body = rng.randbytes(rng.randrange(24))
    data += bytes((len(body) + 1, rng.choice((0x01, 0x02, 0x03, 0x07, 0x09, 0x0A, 0x16, 0xFF)))) + body


_MUTATIONS: tuple[Mutation, ...] = (_flip, _overwrite, _insert, _delete, _truncate, _repeat, _append_structure)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    report = run(arguments.count, arguments.seed, resident_bytes)
    print(json.dumps(report))
    return 1 if report["exceptions"] else 0


if __name__ == "__main__":
    sys.exit(main())
