"""The measured process: what the daemon does with a batch in its inbox, and nothing beside it in memory.

    python -m tests.bench.box DIRECTORY PROTOCOL [LIBRARY]

with the box's state, its spool and the planted secrets in DIRECTORY, as tests.bench.matching lays them out, by Python
alone or by the compiled LIBRARY; prints JSON. The store is a copy, for it would know the batch the next time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned.feed.spool import Spool
from bluezoned.protocols import registry, sieve
from bluezoned.protocols.protocol import DAY
from bluezoned.tracing.case_list import Applied
from bluezoned.tracing.device import Device, Settings
from bluezoned.tracing.proximity import Ranging
from bluezoned.tracing.store import Store

KEY = bytes(32)
SIGNING_KEY = ec.derive_private_key(2020, ec.SECP256R1())
PUBLISHED = 20_774 * DAY


def apply(directory: Path, protocol_name: str, library: Path | None) -> dict[str, float]:
    protocol = registry.by_name(protocol_name)
    core = None if library is None else sieve.open_core(library)
    if library is not None and core is None:
        sys.exit(f"{library} cannot be used here")
    settings = Settings(protocol, {protocol.name: protocol}, SIGNING_KEY.public_key(), 0, Ranging(67.0), core=core)
    copy = directory / f"copy-{os.getpid()}.db"
    copy.write_bytes((directory / "state" / "bluezoned.db").read_bytes())
    with Store(copy, KEY, os.urandom) as store:
        device = Device(settings, store, os.urandom)
        device.apply_log((directory / "log").read_bytes())
        begun = time.process_time()
        applied = _to_the_end(device, Spool(directory / "spool"))
        cpu = time.process_time() - begun
        peak = _peak_mb()
        matched = {match.key.secret.hex() for match in store.matches()}
    for part in directory.glob(f"{copy.name}*"):
        part.unlink()
    planted = set((directory / "planted").read_text().split())
    if matched - planted:
        sys.exit("keys were matched that nobody met")
    return {"cpu_s": cpu, "rss_mb": peak, "keys": applied.keys, "planted": len(planted), "found": len(matched)}


def _to_the_end(device: Device, spool: Spool) -> Applied:
    (name,) = spool.inbox.names("batch-")
    file = spool.inbox.open(name)
    assert file is not None
    with file:
        steps = device.apply_export(file, PUBLISHED)
        try:
            while True:
                next(steps)
        except StopIteration as end:
            applied: Applied = end.value
            return applied


def _peak_mb() -> float:
    """Not getrusage's, which begins with what the parent had."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(apply(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]) if sys.argv[3:] else None)))
