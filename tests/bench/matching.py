"""How fast a country's keys are matched, beside what OpenSSL takes for them and beside the obvious way.

    python -m tests.bench.matching          everything, as a table: some ten minutes
    python -m tests.bench.matching --json   the figures that the project promises, in below five; profiles among them

What is measured is what the daemon does with a file in its inbox: Device.apply_export, signature, parsing, index,
look-up and the transaction at the end, each time in a process of its own, by the compiled core and by Python alone.
Processor time throughout, medians, limit and
matcher turn by turn in one run; `masked` takes the AES and SHA instructions away from both, for a Pi has none.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bluezoned.feed.spool import Spool, batch_name
from bluezoned.tracing.store import Store
from tests.bench import limit, national_day
from tests.logbook import Logbook

ROOT = Path(__file__).parents[2]
MILLION = 1_000_000
A_DAY = 5_000
"""Encounters: 70,000 over fourteen days."""
LIMIT_KEYS = {"gaen": 100_000, "bluezone": 20_000, "dp3t": 100_000}


class Programs(NamedTuple):
    """What is built on the spot."""

    limit: Path
    core: Path


class Bench:
    """One day's files, and measurements on them."""

    def __init__(self, directory: Path, day: national_day.NationalDay, programs: Programs) -> None:
        self._directory = directory
        self._day = day
        self._programs = programs
        (directory / "state").mkdir(parents=True)
        with Store(directory / "state" / "bluezoned.db", national_day.STORE_KEY, os.urandom) as store:
            store.put_encounters(day.encounters)
        log = Logbook(national_day.SIGNING_KEY).signed([day.export.read_bytes()])
        (directory / "log").write_bytes(log)
        inbox = Spool(directory / "spool").inbox
        os.link(day.export, inbox.directory / batch_name(1, "bench.zip"))
        (directory / "planted").write_text("\n".join(secret.hex() for secret in day.planted))

    def run(self, masked: bool, compiled: bool) -> dict[str, Any]:
        """One process that applies the batch: `cpu_s`, `rss_mb`, `keys`, `planted`, `found`."""
        library = [str(self._programs.core)] if compiled else []
        return _child("tests.bench.box", [str(self._directory), self._day.protocol, *library], masked)

    def limit_us(self, masked: bool) -> float:
        """OpenSSL's own time a key."""
        protocol = self._day.protocol
        return limit.microseconds(self._programs.limit, protocol, LIMIT_KEYS[protocol], masked)

    def naive_us(self, masked: bool) -> float:
        """The obvious way's time a key."""
        return float(_child("tests.bench.naive", [str(self._directory / "state" / "bluezoned.db")], masked)["us"])

    def measure(self, masked: bool, compiled: bool, runs: int, budget_s: float) -> dict[str, float]:
        """Medians of up to `runs` turns, fewer once the wall clock has spent `budget_s`."""
        begun = time.monotonic()
        ours: list[float] = []
        limits: list[float] = []
        peaks: list[float] = []
        last: dict[str, Any] = {}
        while len(ours) < runs and (not ours or time.monotonic() - begun < budget_s):
            limits.append(self.limit_us(masked))
            last = self.run(masked, compiled)
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


def headline(directory: Path, programs: Programs) -> dict[str, Any]:
    """The promised figures, of the compiled core, and beside them those of Python alone."""
    gaen = Bench(directory / "g", national_day.build(directory, "gaen", MILLION, A_DAY), programs)
    bluezone = Bench(directory / "b", national_day.build(directory, "bluezone", 50_000, A_DAY), programs)
    tenth = Bench(directory / "t", national_day.build(directory, "gaen", MILLION // 10, A_DAY), programs)
    slow = median(gaen.naive_us(masked=False) for _ in range(5))
    found: dict[str, Any] = {}
    for compiled in (True, False):
        masked = gaen.measure(True, compiled, runs=3, budget_s=35)
        plain = gaen.measure(False, compiled, runs=3, budget_s=20)
        small = tenth.measure(False, compiled, runs=3, budget_s=10)
        chain = bluezone.measure(True, compiled, runs=3, budget_s=20)
        of_gaen = {
            "masked_ratio_to_limit": round(masked["ratio"], 2),
            "speedup_over_naive": round(slow / plain["us"], 1),
            "ten_times_keys_ratio": round(10 * plain["us"] / small["us"], 2),
            "peak_rss_mb": round(max(masked["rss_mb"], plain["rss_mb"]), 1),
            "planted": masked["planted"],
            "found": masked["found"],
        }
        of_bluezone = {"masked_ratio_to_limit": round(chain["ratio"], 2)}
        if compiled:
            found = {"gaen": of_gaen, "bluezone": of_bluezone}
        else:
            found["without_core"] = {"gaen": of_gaen, "bluezone": of_bluezone}
    return {**found, "profiles": _profiles(directory, programs)}


PROFILES: tuple[tuple[str, national_day.Profile, range], ...] = (
    ("kiosk", national_day.all_day, range(national_day.DAYS)),
    ("commuter", national_day.commuter, range(national_day.DAYS)),
    ("ward", national_day.ward, range(3, 7)),
)
"""Who meets people when, and on which of the fourteen days. The kiosk skips nothing: the others save from it."""


def _profiles(directory: Path, programs: Programs) -> dict[str, Any]:
    """What skipping days and rotations saves, with 500 encounters a day and a tenth of the keys, masked."""
    found: dict[str, Any] = {}
    for name, profile, days in PROFILES:
        place = directory / name
        place.mkdir()
        day = national_day.build(place, "gaen", MILLION // 10, 500, profile, days)
        measured = Bench(place / "box", day, programs).measure(masked=True, compiled=True, runs=1, budget_s=10)
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


def everything(directory: Path, programs: Programs, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """All cases, masked and not."""
    rows = []
    for name, protocol, keys, a_day, profile, days in CASES:
        tell(name)
        place = directory / name.replace(" ", "-")
        place.mkdir()
        bench = Bench(place / "box", national_day.build(place, protocol, keys, a_day, profile, days), programs)
        for masked, compiled in itertools.product((False, True), repeat=2):
            measured = bench.measure(masked, compiled, runs=3, budget_s=120)
            slow = bench.naive_us(masked) if keys == MILLION else None
            kind = {"case": name, "keys": keys, "masked": masked, "compiled": compiled}
            rows.append({**kind, "naive_us": slow, **measured})
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("case", "keys", "masked", "compiled", "us a key", "OpenSSL us", "ratio", "naive us", "MB", "found")
    for row in rows:
        table.add_row(
            row["case"],
            f"{row['keys']:,}",
            "yes" if row["masked"] else "no",
            "yes" if row["compiled"] else "no",
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
        programs = Programs(limit.build(Path(place)), Path(place) / "libsieve.so")
        subprocess.run([ROOT / "compile.sh", programs.core], check=True)
        if arguments.json:
            print(json.dumps(headline(Path(place), programs)))
        else:
            show(everything(Path(place), programs, lambda name: print(f"... {name}", file=sys.stderr)))


if __name__ == "__main__":
    main()
