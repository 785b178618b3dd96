"""Pulled plugs: is what was committed there, and is the database whole?

    python -m tests.bench.durability [--kills 1000] [--cuts 1000] [--seed 1]

Kills: a process that flushes encounters is ended with SIGKILL at a random instant. Cuts: what such a process writes,
cuts and syncs is recorded below SQLite (write_recorder.c); for a random point in the record the disk is put together as
a power cut may leave it: what was synced stands, of the rest any sectors of any writes, in any order. Each time the
store must open, hold every flush that was acknowledged, and at most the one under way besides. Prints one JSON object;
status 1 when anything was lost or damaged.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bluezoned.errors import StoreError
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, Payload
from bluezoned.tracing.encounter import Encounter
from bluezoned.tracing.proximity import MINUTE, Minute
from bluezoned.tracing.store import Store

KEY = bytes(32)
START = 20_759 * DAY + 20 * 3_600_000
"""Four hours before midnight, so that days are packed and forgotten on the way."""
OPEN = 20
SECTOR = 512

_HEAD = struct.Struct("<QQQ")


def encounter(number: int, minutes: int, start: int) -> Encounter:
    first = start - start % MINUTE
    heard = tuple(Minute(first + i * MINUTE, 5, -70.5, -66, -69.5) for i in range(minutes))
    rolling_id = Opaque(number.to_bytes(12))
    return Encounter("bluezone", Payload(rolling_id, None), start, heard[-1].at + MINUTE - 1, heard)


def flush(store: Store, number: int) -> None:
    """The `number`th flush: OPEN encounters go on by a minute, begun anew each quarter of an hour."""
    generation, minute = divmod(number, 15)
    start = START + generation * 15 * MINUTE
    with store.transaction():
        store.put_encounters(encounter(generation * OPEN + i, minute + 1, start) for i in range(OPEN))
        store.put_fact("flushes", number + 1)
        if minute == 7:
            store.pack(start - 3_600_000)
        if minute == 11:
            store.put_batch(generation, bytes(32), start, start)


def work(path: Path, acknowledge: int, flushes: int) -> None:
    """Flush from where the database stands, and write a byte to `acknowledge` after each."""
    with Store(path, KEY, os.urandom) as store:
        done = store.fact("flushes")
        for number in range(0 if done is None else done[0], flushes):
            flush(store, number)
            os.write(acknowledge, struct.pack("<Q", number + 1))


def verify(path: Path, acknowledged: int) -> str:
    """What is wrong; empty when nothing is."""
    try:
        with Store(path, KEY, os.urandom) as store:
            fact = store.fact("flushes")
            done = 0 if fact is None else fact[0]
            found = store.encounters(0, START + 100 * DAY)
    except StoreError as error:
        return f"damaged: {error}"
    if not acknowledged <= done <= acknowledged + 1:
        return f"{acknowledged} flushes were acknowledged, {done} are there"
    lengths = {int.from_bytes(e.payload.rolling_id): len(e.minutes) for e in found}
    expected = {g * OPEN + i: min(15, done - g * 15) for g in range(-(-done // 15)) for i in range(OPEN)}
    return "" if lengths == expected else "encounters are missing or short"


# process death


def kill_once(path: Path, acknowledged: int, delay: float) -> int:
    """Let a child work for `delay` s and kill it. Returns the newest acknowledged flush."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            work(path, writing, 1 << 30)
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as acknowledgements:
        told = acknowledgements.read()
    numbers = struct.iter_unpack("<Q", told[: len(told) // 8 * 8])
    return max([acknowledged, *(int(number) for (number,) in numbers)])


def kill(directory: Path, times: int, rng: random.Random) -> list[str]:
    """Problems of so many kills. Now and then a fresh database, since its making can be interrupted too."""
    problems = []
    for number in range(times):
        path = directory / f"{number // 50}" / "s.db"
        path.parent.mkdir(exist_ok=True)
        if number % 50 == 0:
            acknowledged = 0
        acknowledged = kill_once(path, acknowledged, rng.random() ** 2 * 0.2)
        if problem := verify(path, acknowledged):
            problems.append(problem)
        with Store(path, KEY, os.urandom) as store:
            fact = store.fact("flushes")
        acknowledged = 0 if fact is None else fact[0]
    return problems


# power cuts


@dataclass
class _Disk:
    """One file on a disk with a cache: what is safe, and what was written since."""

    safe: bytearray = field(default_factory=bytearray)
    unsafe: list[tuple[str, int, bytes]] = field(default_factory=list)
    is_deleted: bool = False
    """Deleted, and the directory not yet synced."""

    def sync(self) -> None:
        for kind, offset, data in self.unsafe:
            _apply(self.safe, kind, offset, data)
        self.unsafe.clear()

    def after_a_cut(self, rng: random.Random) -> bytes:
        content = bytearray(self.safe)
        kept = rng.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        pieces = [piece for write in self.unsafe for piece in _sectors(*write) if rng.random() < kept]
        if rng.random() < 0.7:
            rng.shuffle(pieces)
        for piece in pieces:
            _apply(content, *piece)
        return bytes(content)


def _sectors(kind: str, offset: int, data: bytes) -> Iterator[tuple[str, int, bytes]]:
    if kind == "t":
        yield kind, offset, data
    for at in range(0, len(data), SECTOR):
        yield kind, offset + at, data[at : at + SECTOR]


def _apply(content: bytearray, kind: str, offset: int, data: bytes) -> None:
    end = offset if kind == "t" else offset + len(data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if kind == "t":
        del content[offset:]
    else:
        content[offset:end] = data


def build_recorder(directory: Path) -> Path:
    library = directory / "write_recorder.so"
    source = Path(__file__).with_name("write_recorder.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


def record(directory: Path, flushes: int) -> bytes:
    """What a process that makes so many flushes writes, with its acknowledgements as marks."""
    below, to = directory / "recorded", directory / "record"
    below.mkdir()
    command = [sys.executable, "-m", "tests.bench.durability", "--work", str(below / "s.db"), "--flushes", str(flushes)]
    recorder = {"LD_PRELOAD": str(build_recorder(directory)), "RECORD_BELOW": str(below), "RECORD_TO": str(to)}
    subprocess.run(command, check=True, env=os.environ | recorder)
    return to.read_bytes()


def records(data: bytes) -> Iterator[tuple[str, str, int, bytes]]:
    at = 0
    while at < len(data):
        kind = chr(data[at])
        path_size, offset, length = _HEAD.unpack_from(data, at + 1)
        at += 1 + _HEAD.size
        path = data[at : at + path_size].decode()
        at += path_size
        content = data[at : at + length] if kind in "wm" else b""
        at += len(content)
        yield kind, path, offset, content


def cut(directory: Path, times: int, flushes: int, rng: random.Random) -> list[str]:
    """Problems of so many power cuts."""
    story = list(records(record(directory, flushes)))
    points = sorted(rng.randrange(1, len(story)) for _ in range(times))
    disks: dict[str, _Disk] = {}
    problems = []
    acknowledged = done = 0
    for point in points:
        for kind, path, offset, data in story[done:point]:
            if kind == "m":
                acknowledged = offset
            elif kind == "s" and path == str(directory / "recorded"):
                disks = {name: disk for name, disk in disks.items() if not disk.is_deleted}
            elif kind == "s":
                disks.setdefault(path, _Disk()).sync()
            elif kind == "d":
                disks.setdefault(path, _Disk()).is_deleted = True
            elif not path.endswith("-shm"):
                if path in disks and disks[path].is_deleted:
                    del disks[path]
                disks.setdefault(path, _Disk()).unsafe.append((kind, offset, data))
        done = point
        place = directory / "cut"
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        for path, disk in disks.items():
            if not (disk.is_deleted and rng.random() < 0.5) and (content := disk.after_a_cut(rng)):
                (place / Path(path).name).write_bytes(content)
        if problem := verify(place / "s.db", acknowledged):
            problems.append(f"at {point} of {len(story)}: {problem}")
    return problems


def _work_recorded(path: Path, flushes: int) -> None:
    """In the recorded process: acknowledgements go into the record itself, behind what they acknowledge."""
    marks = os.open(os.environ["RECORD_TO"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with Store(path, KEY, os.urandom) as store:
        for number in range(flushes):
            flush(store, number)
            os.write(marks, b"m" + _HEAD.pack(0, number + 1, 0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=1000)
    parser.add_argument("--flushes", type=int, default=600, help="in the recorded process")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        _work_recorded(arguments.work, arguments.flushes)
        return 0
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "kills").mkdir()
        killed = kill(Path(place) / "kills", arguments.kills, rng)
        cuts = cut(Path(place), arguments.cuts, arguments.flushes, rng)
    report = {
        "kills": arguments.kills,
        "lost_by_kills": len(killed),
        "cuts": arguments.cuts,
        "lost_by_cuts": len(cuts),
        "problems": (killed + cuts)[:10],
    }
    print(json.dumps(report))
    return 1 if killed or cuts else 0


if __name__ == "__main__":
    sys.exit(main())
