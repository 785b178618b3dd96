"""Run in the card, as bluezoned, from its boot partition: encounters are flushed, and each flush told on the console
when it has been committed."""

from __future__ import annotations

import os
import time
from itertools import count
from pathlib import Path

from bluezoned.tracing.store import Store
from tests.bench.durability import KEY, flush

PAUSE_S = 0.5
"""As a box's tick, but a hundred times as often."""


def main(database: Path) -> None:
    database.parent.mkdir(exist_ok=True)
    with Store(database, KEY, os.urandom) as store:
        fact = store.fact("flushes")
        for number in count(0 if fact is None else fact[0]):
            flush(store, number)
            print("COMMITTED", number + 1, flush=True)
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(Path("/var/lib/bluezoned/plug/s.db"))
