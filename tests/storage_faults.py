"""A box whose disk fails under it: a program of its own, because its disk is a small one that only it sees.

    unshare --user --map-root-user --mount python -m tests.storage_faults full|read-only|locked DIRECTORY

mounts a tmpfs of 1 MB on DIRECTORY, runs a whole box there on a clock moved by hand, breaks the disk, mends it, and
prints as JSON what the box showed before, during and after, and what a new start finds. For read-only the process must
run with read_only.c preloaded. tests/test_storage_faults.py does all that, and judges.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from bluezoned import assembly, config_source
from bluezoned.advertisement import Advertisement, Reception
from bluezoned.alert.journal import JournalIndicator
from bluezoned.box import Box, Rhythm
from bluezoned.clock import ManualClock
from bluezoned.feed.spool import Spool
from bluezoned.opaque import Opaque
from bluezoned.protocols import bluezone
from bluezoned.protocols.protocol import DAY
from bluezoned.radio.radio import RadioHealth
from bluezoned.recorder import Recorder
from bluezoned.storage import DATABASE, open_store
from bluezoned.tracing.device import Device
from bluezoned.tracing.proximity import MINUTE

TEN_PAST_NINE = 20_759 * DAY + (9 * 60 + 10) * MINUTE
"""Five minutes before the identifier on the air changes."""
CROWD = 400
"""Encounters while the disk is broken: more than free pages and the log have room for."""


class RadioWithoutAir:
    """Notes what it is told to send."""

    def __init__(self) -> None:
        self.sent: list[Advertisement | None] = []

    async def __aenter__(self) -> RadioWithoutAir:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def advertise(self, advertisement: Advertisement | None) -> None:
        self.sent.append(advertisement)

    async def __aiter__(self) -> AsyncIterator[Reception]:
        await asyncio.Event().wait()
        yield  # type: ignore[misc]

    def health(self) -> RadioHealth:
        return RadioHealth(True, True, "")


def fill(directory: Path) -> Callable[[], None]:
    """To the last byte. Returns how to mend it."""
    with (directory / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(512))
        except OSError:
            pass
    return (directory / "filler").unlink


def protect(directory: Path) -> Callable[[], None]:
    """As the kernel does with a card that fails: see read_only.c, with which this process runs."""
    flag = Path(os.environ["READ_ONLY_WHILE"])
    flag.touch()
    return flag.unlink


def lock(directory: Path) -> Callable[[], None]:
    """Another program holds it."""
    other = sqlite3.connect(directory / "state" / DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    return other.close


FAULTS = {"full": fill, "read-only": protect, "locked": lock}


def hear(device: Device, at: int, first: int, count: int) -> None:
    for number in range(first, first + count):
        rolling_id = Opaque(number.to_bytes(12))
        advertisement = Advertisement(frozenset((bluezone.SERVICE,)), {}, {bluezone.COMPANY: rolling_id})
        assert device.hear(Reception(advertisement, -60, at + number))


async def play(fault: str, directory: Path) -> dict[str, Any]:
    told: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(getattr(record, "BLUEZONED_EVENT", ""))  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    clock, radio = ManualClock(TEN_PAST_NINE), RadioWithoutAir()
    with open_store(directory / "state", {}) as store:
        device = Device(assembly.settings(config_source.load([], {}, {})), store, os.urandom)
        recorder = Recorder(directory / "capture.jsonl")
        box = Box(device, radio, clock, Spool(directory / "spool"), JournalIndicator(), recorder, Rhythm(MINUTE, DAY))
        running = asyncio.create_task(box.run())
        await asyncio.sleep(0.05)
        hear(device, clock.now(), 1, 50)
        await clock.advance(TEN_PAST_NINE + 2 * MINUTE)
        before = box.status()
        mend = FAULTS[fault](directory)
        hear(device, clock.now(), 1000, CROWD)
        sent = len(radio.sent)
        await clock.advance(TEN_PAST_NINE + 4 * MINUTE)
        during = box.status()
        await clock.advance(TEN_PAST_NINE + 6 * MINUTE)
        rotated = radio.sent[sent:]
        mend()
        await clock.advance(TEN_PAST_NINE + 8 * MINUTE)
        after = box.status()
        running.cancel()
    with open_store(directory / "state", {}) as store:
        kept = len(store.encounters(0, TEN_PAST_NINE + DAY))
    return {
        "before": [before.indication, list(before.problems)],
        "during": [during.indication, list(during.problems)],
        "after": [after.indication, list(after.problems)],
        "told": told,
        "rotated": [advertisement is not None for advertisement in rotated],
        "kept": kept,
        "expected": 50 + CROWD,
    }


def main() -> None:
    fault, directory = sys.argv[1], Path(sys.argv[2])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(directory)], check=True)
    print(json.dumps(asyncio.run(play(fault, directory))))


if __name__ == "__main__":
    main()
