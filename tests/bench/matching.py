"""How fast a country's keys are matched, beside what OpenSSL takes for them and beside the obvious way.

    python -m tests.bench.matching          everything, as a table: some ten minutes
    python -m tests.bench.matching --json   the figures that the project promises, in below five; profiles among them

What is measured is what the daemon does with a file in its inbox: Device.apply_export, signature, parsing, index,
look-up and the transaction at the end, each time in a process of its own. Processor time throughout, medians, limit and
matcher turn by turn in one run; `masked` takes the AES and SHA instructions away from both, for a Pi has none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bluezoned.feed.spool import Spool, batch_name
from bluezoned.tracing.store import Store
from tests.bench import limit, national_day
from tests.logbook import Logbook

MILLION = 1_000_000
A_DAY = 5_000
"""Encounters: 70,000 over fourteen days."""
LIMIT_KEYS = {"gaen": 100_000, "bluezone": 20_000, "dp3t": 100_000}


class Bench:
    """One day's files, and measurements on them."""

    def __init__(self, directory: Path, day: national_day.NationalDay, program: Path) -> None:
        self._directory = directory
        self._day = day
        self._program = program
        (directory / "state").mkdir(parents=True)
        with Store(directory / "state" / "bluezoned.db", national_day.STORE_KEY, os.urandom) as store:
            store.put_encounters(day.encounters)
        log = Logbook(national_day.SIGNING_KEY).signed([day.export.read_bytes()])
        (directory / "log").write_bytes(log)
        inbox = Spool(directory / "spool").inbox
        os.link(day.export, inbox.directory / batch_name(1, "bench.zip"))
        (directory / "planted").write_text("\n".join(secret.hex() for secret in day.planted))

    def run(self, masked: bool) -> dict[str, Any]:
        """One process that applies the batch: `cpu_s`, `rss_mb`, `keys`, `planted`, `found`."""
        return _child("tests.bench.box", [str(self._directory), self._day.protocol], masked)

    def limit_us(self, masked: bool) -> float:
        """OpenSSL's own time a key."""
        protocol = self._day.protocol
        return limit.microseconds(self._program, protocol, LIMIT_KEYS[protocol], masked)

    def naive_us(self, masked: bool) -> float:
        """The obvious way's time a key."""
        return float(_child("tests.bench.naive", [str(self._directory / "state" / "bluezoned.db")], masked)["us"])

    def measure(self, masked: bool, runs: int, budget_s: float) -> dict[str, float]:
        """Medians of up to `runs` turns, fewer once the wall clock has spent `budget_s`."""
        begun = time.monotonic()
        ours: list[float] = []
        limits: list[float] = []
        peaks: list[float] = []
        last: dict[str, Any] = {}
        while len(ours) < runs and (not ours or time.monotonic() - begun < budget_s):
            limits.append(self.limit_us(masked))
            last = self.run(masked)
            ours.append(last["cpu_s"] * 1e6 / last["keys"])
            peaks.append(last["rss_mb"])
        limits.append(self.limit_us(masked))
        return {
            "us": median(ours),
            "limit_us": median(limits),
            "ratio": median(ours) / median(limits),
            "rss_mb": max(peaks),
            "planted": last["planted"],
            "found": last["found"],
            "runs": len(ours),
        }


def _child(module: str, arguments: list[str], masked: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=limit.environment(masked))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def headline(directory: Path, program: Path) -> dict[str, Any]:
    """The promised figures."""
    gaen = Bench(directory / "g", national_day.build(directory, "gaen", MILLION, A_DAY), program)
    bluezone = Bench(directory / "b", national_day.build(directory, "bluezone", 50_000, A_DAY), program)
    masked = gaen.measure(masked=True, runs=3, budget_s=70)
    plain = gaen.measure(masked=False, runs=3, budget_s=30)
    tenth = Bench(directory / "t", national_day.build(directory, "gaen", MILLION // 10, A_DAY), program)
    small = tenth.measure(masked=False, runs=3, budget_s=10)
    slow = median(gaen.naive_us(masked=False) for _ in range(5))
    chain = bluezone.measure(masked=True, runs=3, budget_s=40)
    return {
        "gaen": {
            "masked_ratio_to_limit": round(masked["ratio"], 2),
            "speedup_over_naive": round(slow / plain["us"], 1),
            "ten_times_keys_ratio": round(10 * plain["us"] / small["us"], 2),
            "peak_rss_mb": round(max(masked["rss_mb"], plain["rss_mb"]), 1),
            "planted": masked["planted"],
            "found": masked["found"],
        },
        "bluezone": {"masked_ratio_to_limit": round(chain["ratio"], 2)},
        "profiles": _profiles(directory, program),
    }


PROFILES: tuple[tuple[str, national_day.Profile, range], ...] = (
    ("kiosk", national_day.all_day, range(national_day.DAYS)),
    ("commuter", national_day.commuter, range(national_day.DAYS)),
    ("ward", national_day.ward, range(3, 7)),
)
"""Who meets people when, and on which of the fourteen days. The kiosk skips nothing: the others save from it."""


def _profiles(directory: Path, program: Path) -> dict[str, Any]:
    """What skipping days and rotations saves, with 500 encounters a day and a tenth of the keys, masked."""
    found: dict[str, Any] = {}
    for name, profile, days in PROFILES:
        place = directory / name
        place.mkdir()
        day = national_day.build(place, "gaen", MILLION // 10, 500, profile, days)
        measured = Bench(place / "box", day, program).measure(masked=True, runs=1, budget_s=10)
        found[name] = {"us": round(measured["us"], 2), "planted": measured["planted"], "found": measured["found"]}
        found[name]["times_faster_than_kiosk"] = round(found["kiosk"]["us"] / measured["us"], 2)
    return found


Case = tuple[str, str, int, int, national_day.Profile, range]
EVERY_DAY = range(national_day.DAYS)
CASES: tuple[Case, ...] = (
    ("a million", "gaen", MILLION, A_DAY, national_day.all_day, EVERY_DAY),
    ("a tenth of the keys", "gaen", MILLION // 10, A_DAY, national_day.all_day, EVERY_DAY),
    ("500 encounters a day", "gaen", MILLION // 10, 500, national_day.all_day, EVERY_DAY),
    ("20,000 encounters a day", "gaen", MILLION // 10, 20_000, national_day.all_day, EVERY_DAY),
    ("a commuter, 5 days a week", "gaen", MILLION // 10, 500, national_day.commuter, range(0, 14)),
    ("a ward, 4 shifts in 14 days", "gaen", MILLION // 10, 200, national_day.ward, range(3, 7)),
    ("nobody met", "gaen", MILLION // 10, 1, national_day.ward, range(0, 1)),
    ("bluezone", "bluezone", 50_000, A_DAY, national_day.all_day, EVERY_DAY),
    ("dp3t", "dp3t", 100_000, A_DAY, national_day.all_day, EVERY_DAY),
)


def everything(directory: Path, program: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """All cases, masked and not."""
    rows = []
    for name, protocol, keys, a_day, profile, days in CASES:
        tell(name)
        place = directory / name.replace(" ", "-")
        place.mkdir()
        bench = Bench(place / "box", national_day.build(place, protocol, keys, a_day, profile, days), program)
        for masked in (False, True):
            measured = bench.measure(masked, runs=3, budget_s=120)
            slow = bench.naive_us(masked) if keys == MILLION else None
            rows.append({"case": name, "keys": keys, "masked": masked, "naive_us": slow, **measured})
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("case", "keys", "masked", "us a key", "OpenSSL us", "ratio", "naive us", "MB", "found")
    for row in rows:
        table.add_row(
            row["case"],
            f"{row['keys']:,}",
            "yes" if row["masked"] else "no",
            f"{row['us']:.2f}",
            f"{row['limit_us']:.2f}",
            f"{row['ratio']:.2f}",
            "" if row["naive_us"] is None else f"{row['naive_us']:.0f}",
            f"{row['rss_mb']:.0f}",
            f"{row['found']} of {row['planted']}",
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the promised figures alone, as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        program = limit.build(Path(place))
        if arguments.json:
            print(json.dumps(headline(Path(place), program)))
        else:
            show(everything(Path(place), program, lambda name: print(f"... {name}", file=sys.stderr)))


if __name__ == "__main__":
    main()
