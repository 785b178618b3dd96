"""Spoilt sticks through the import: what no authority copied, and what only looks as if it had.

    python -m tests.fuzz.stick --count 20000 [--seed 1]

prints one JSON object: how many sticks were taken in and how many refused for which reason, exceptions and broken
promises (0, or the run ends with status 1), the first of them, seconds, and by how many bytes the process grew after
its first tenth. Of each stick one file is spoilt: its bytes, its kind, or, signed again, what it says. The promises:
what is laid into the inbox is signed and as listed, a refused stick leaves the index that lay there, and the good one
after it brings all.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bluezoned import key_index, merkle_tree, upload
from bluezoned.errors import StoreError
from bluezoned.feed import visit
from bluezoned.feed.directory import Directory
from bluezoned.feed.problem import FeedError
from bluezoned.feed.signed import Signed
from bluezoned.feed.spool import Spool, batch_name
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.protocols.protocol import DAY
from tests.fuzz.advertisement import resident_bytes
from tests.fuzz.mutation import mutated, reshaped_json
from tests.logbook import Logbook

SIGNING_KEY = ec.derive_private_key(2020, ec.SECP256R1())
PUBLIC_KEY = SIGNING_KEY.public_key()
MONDAY = 20_000 * DAY
TAGS = {"index": b"bluezoned index v1\n", "log": b"bluezoned log v1\n"}


def run(count: int, seed: int, place: Path, used: Callable[[], int]) -> dict[str, object]:
    """`place` is an empty directory for sticks and spool."""
    rng = random.Random(seed)
    good = _genuine(rng)
    outcomes: Counter[str] = Counter()
    exceptions: Counter[str] = Counter()
    first_failure = ""
    settled, started = 0, time.perf_counter()
    for number in range(count):
        if number == count // 10:
            settled = used()
        try:
            outcomes[exercise(_spoilt(rng, good, place / "bad"), good, place)] += 1
        except Exception as error:
            exceptions[type(error).__name__] += 1
            first_failure = first_failure or f"stick {number}: {error}"
    return {
        "sticks": count,
        "seed": seed,
        "outcomes": dict(sorted(outcomes.items())),
        "exceptions": sum(exceptions.values()),
        "exception_types": dict(exceptions),
        "first_failure": first_failure,
        "grown_bytes": used() - settled,
        "seconds": round(time.perf_counter() - started, 1),
    }


def exercise(bad: Path, good: dict[str, bytes], place: Path) -> str:
    """`read`, or why not. AssertionError when a promise is broken."""
    for old in ("spool", "good"):
        shutil.rmtree(place / old, ignore_errors=True)
    _lay(place / "good", good)
    spool = Spool(place / "spool")
    spool.inbox.write("index", b"what lay there")
    try:
        outcome = _taken(bad, spool)
    except StoreError:
        outcome = "StoreError"  # an index may list more than the spool takes
    laid = spool.inbox.read("index") or b""
    if outcome == "read":
        _require_as_listed(key_index.read(laid, PUBLIC_KEY), spool)
    else:
        assert laid == b"what lay there", "a refused stick has replaced the index"
    _taken(place / "good", spool)
    assert spool.inbox.read("index") == good["index"], "the good stick was not taken in"
    _require_as_listed(key_index.read(good["index"], PUBLIC_KEY), spool)
    return outcome


def _taken(stick: Path, spool: Spool) -> str:
    source = Signed(Directory(stick), PUBLIC_KEY)
    # As the program: FeedErrors are reported, and of others StoreError alone is declared.
    report = asyncio.run(visit.take_in(source, spool))
    problems: tuple[FeedError, ...] = report.problems
    return problems[0].reason.name if problems else "read"


def _require_as_listed(index: KeyIndex, spool: Spool) -> None:
    for batch in index.batches:
        content = spool.inbox.read(batch_name(batch.sequence, batch.name)) or b""
        assert hashlib.sha256(content).digest() == batch.sha256, "a batch is not as listed"


def _genuine(rng: random.Random) -> dict[str, bytes]:
    """The files of a stick by their names. What is in a batch is the daemon's matter: tests/fuzz/key_export.py."""
    contents = [rng.randbytes(rng.randrange(50, 900)) for _ in range(3)]
    batches = tuple(
        Batch(n, f"gaen-{n}.zip", len(content), hashlib.sha256(content).digest(), "gaen", MONDAY, MONDAY + 1)
        for n, content in enumerate(contents, 1)
    )
    index = KeyIndex("vn", 3, MONDAY, MONDAY + DAY, bytes(upload.SEALING_KEY_SIZE), batches)
    return {
        "index": key_index.write(index, SIGNING_KEY),
        "log": Logbook(SIGNING_KEY, merkle_tree.leaf_hash).signed(contents),
        **{f"batches/gaen-{n}.zip": content for n, content in enumerate(contents, 1)},
    }


def _lay(stick: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (stick / name).parent.mkdir(parents=True, exist_ok=True)
        (stick / name).write_bytes(content)


def _spoilt(rng: random.Random, good: dict[str, bytes], stick: Path) -> Path:
    """One file is not what it was."""
    shutil.rmtree(stick, ignore_errors=True)
    _lay(stick, good)
    name = rng.choice(("index", "index", "log", "log", *good))
    path, draw = stick / name, rng.random()
    if draw < 0.15:
        path.unlink()
        rng.choice((_nothing, _directory, _pipe, _link, _device))(path)
    elif draw < 0.55 or name not in TAGS:
        path.write_bytes(mutated(rng, good[name], list(good.values())))
    else:
        body = good[name].partition(b"\n")[2]
        if rng.random() < 0.3:
            changed = mutated(rng, body, [], 3)
        else:
            changed = json.dumps(reshaped_json(rng, json.loads(body)), separators=(",", ":")).encode() + b"\n"
        signature = SIGNING_KEY.sign(TAGS[name] + changed, ec.ECDSA(SHA256()))
        path.write_bytes(base64.b64encode(signature) + b"\n" + changed)
    return stick


def _nothing(_: Path) -> None:
    pass


def _directory(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _device(path: Path) -> None:
    """A link into a place without end: what a device node would be, which only root can make."""
    path.symlink_to("/dev/zero")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        report = run(arguments.count, arguments.seed, Path(place), resident_bytes)
    print(json.dumps(report))
    return 1 if report["exceptions"] else 0


if __name__ == "__main__":
    sys.exit(main())
