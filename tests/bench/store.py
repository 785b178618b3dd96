"""What a box's memory costs: bytes handed to write(), the file's size, and how long it takes to open.

    python -m tests.bench.store [--json] [--days 3]

Simulated days of a crowd, 5,000 rolling ids heard 20 times each, through Device.hear and a tick a minute, as the daemon
does. Bytes are those of all write() calls of the process on the last day (/proc/self/io, wchar), which packs a day too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.opaque import Opaque
from bluezoned.protocols import bluezone, registry
from bluezoned.protocols.protocol import DAY
from bluezoned.tracing.device import Device, Settings
from bluezoned.tracing.encounter import EncounterLog
from bluezoned.tracing.proximity import MINUTE, Ranging
from bluezoned.tracing.sighting import Sighting, sight
from bluezoned.tracing.store import Store
from tests.bench.national_day import FIRST_DAY, STORE_KEY

A_DAY = 5_000
PACKETS = 20
RETENTION = 14


def receptions(day: int, rng: random.Random) -> list[Reception]:
    """Of one day, in order: each id for up to a quarter of an hour."""
    heard = []
    for _ in range(A_DAY):
        advertisement = Advertisement(
            frozenset((bluezone.SERVICE,)),
            {bluezone.SERVICE: Opaque(rng.randbytes(4))},
            {bluezone.COMPANY: Opaque(rng.randbytes(12))},
        )
        start, length = day * DAY + rng.randrange(DAY - 15 * MINUTE), rng.randrange(MINUTE, 15 * MINUTE)
        level = rng.randrange(-95, -50)
        heard += [
            Reception(advertisement, level + round(rng.gauss(0, 5)), start + rng.randrange(length))
            for _ in range(PACKETS)
        ]
    return sorted(heard, key=lambda reception: reception.at)


def written() -> int:
    """Bytes handed to write() by this process so far."""
    (line,) = (line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("wchar"))
    return int(line.split()[1])


def live(path: Path, days: int) -> dict[str, Any]:
    """Some days through the whole device; figures of the last."""
    protocol = registry.by_name("bluezone")
    settings = Settings(protocol, {"bluezone": protocol}, None, 0, Ranging(67.0))
    rng = random.Random(1)
    with Store(path, STORE_KEY, os.urandom) as store:
        device = Device(settings, store, os.urandom)
        for day in range(FIRST_DAY, FIRST_DAY + days):
            today = receptions(day, rng)
            before, cpu = written(), time.process_time()
            tick = day * DAY
            for reception in today:
                while reception.at >= tick:
                    device.tick(tick)
                    tick += MINUTE
                device.hear(reception)
        return {
            "write_bytes_per_sighting": round((written() - before) / (A_DAY * PACKETS), 1),
            "cpu_us_per_sighting": round((time.process_time() - cpu) * 1e6 / (A_DAY * PACKETS), 1),
        }


def fill(path: Path) -> None:
    """Fourteen days, packed as a running box has them: today and yesterday in pieces."""
    protocols = [registry.by_name("bluezone")]
    rng = random.Random(2)
    with Store(path, STORE_KEY, os.urandom) as store:
        for day in range(FIRST_DAY, FIRST_DAY + RETENTION):
            log = EncounterLog(5 * MINUTE)
            tick = day * DAY
            for reception in receptions(day, rng):
                while reception.at >= tick:
                    if day >= FIRST_DAY + RETENTION - 2:
                        store.put_encounters(log.changed())
                        log.settle(tick)
                    tick += MINUTE
                sighting = sight(reception, protocols)
                assert isinstance(sighting, Sighting)
                log.hear(sighting)
            store.put_encounters(log.changed())
            store.pack((day - 1) * DAY)


def opening(path: Path) -> dict[str, Any]:
    """Size, and time to open and load; median of five."""
    times, processor = [], []
    for _ in range(5):
        begun, cpu = time.monotonic(), time.process_time()
        with Store(path, STORE_KEY, os.urandom) as store:
            count = sum(map(len, store.sighted("bluezone").days.values()))
        times.append(time.monotonic() - begun)
        processor.append(time.process_time() - cpu)
    assert count >= A_DAY * RETENTION  # a silence of five minutes parts one in two
    size = sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*"))
    return {
        "encounters": count,
        "file_mb": round(size / 1e6, 2),
        "open_s": round(sorted(times)[2], 3),
        "open_cpu_s": round(sorted(processor)[2], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--days", type=int, default=3, help="simulated days before the figures are taken")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        figures = live(Path(place) / "live.db", arguments.days)
        fill(Path(place) / "full.db")
        figures |= opening(Path(place) / "full.db")
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name:26} {figures[name]}" for name in figures))


if __name__ == "__main__":
    main()
