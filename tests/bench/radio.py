"""What one advertisement costs the box once the radio has handed it over: reading it, and keeping it.

    python -m tests.bench.radio [--json]

Processor time a packet, medians of five: bytes of the air decoded, a stranger's packet passed over, a peer's taken into
its encounter, with 50 and with 5,000 peers about. What bluetoothd, D-Bus and bleak take before it is measured in the
virtual machine (tests/system/test_crowd.py).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bluezoned.advertisement import Advertisement, Reception, decode
from bluezoned.opaque import Opaque
from bluezoned.protocols import bluezone, registry
from bluezoned.protocols.protocol import DAY
from bluezoned.tracing.device import Device, Settings
from bluezoned.tracing.proximity import Ranging
from bluezoned.tracing.store import Store

PACKETS = 20_000
AT = 20_759 * DAY
STRANGER = bytes.fromhex("02011a0aff4c0010050b1c6d3a2f")
"""An iPhone's "nearby" message."""


def microseconds(act: Callable[[int], object]) -> float:
    """Of one of PACKETS acts."""
    times = []
    for _ in range(5):
        begun = time.process_time()
        for number in range(PACKETS):
            act(number)
        times.append((time.process_time() - begun) * 1e6 / PACKETS)
    return round(median(times), 2)


def peers(count: int) -> list[Advertisement]:
    rng = random.Random(1)
    return [
        Advertisement(
            frozenset((bluezone.SERVICE,)),
            {bluezone.SERVICE: Opaque(rng.randbytes(4))},
            {bluezone.COMPANY: Opaque(rng.randbytes(12))},
        )
        for _ in range(count)
    ]


def measure() -> dict[str, float]:
    protocols = {name: registry.by_name(name) for name in registry.NAMES}
    settings = Settings(protocols["bluezone"], protocols, None, 0, Ranging(67.0))
    stranger = decode(STRANGER)
    with tempfile.TemporaryDirectory() as place, Store(Path(place) / "s.db", bytes(32), os.urandom) as store:
        figures = {"decode_us": microseconds(lambda _: decode(STRANGER))}
        device = Device(settings, store, os.urandom)
        figures["stranger_us"] = microseconds(lambda n: device.hear(Reception(stranger, -60, AT + n)))
        for count in (50, 5_000):
            device, heard = Device(settings, store, os.urandom), peers(count)
            act = _hearing(device, heard)
            figures[f"peer_of_{count}_us"] = microseconds(act)
    return figures


def _hearing(device: Device, heard: list[Advertisement]) -> Callable[[int], object]:
    return lambda number: device.hear(Reception(heard[number % len(heard)], -60, AT + number))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure()
    print(json.dumps(figures) if arguments.json else "\n".join(f"{name:16} {figures[name]}" for name in figures))


if __name__ == "__main__":
    main()
