"""The card's plug pulled at random moments of boot and work: does it always come up again, with all that was committed?

    python -m tests.image.plug [--pulls 50] [--seed 1] [--proof 10]

In the card bluezoned runs, and beside it, as its user and on its partition, what flushes encounters twice a second by
the project's own store and tells each commit. The card has a cache (drive.py): of what was not flushed at the cut, any
sectors of any writes are lost. Two pulls of three come during the boot, the others up to PULL_AT_WORK_S after the card
was seen to come up whole. After each, copies of both file systems are looked at: once their journals are replayed they
must be whole, and the database must hold every flush that was told. After every `proof`th and the last, the card must
boot to its end. A card's own controller may do worse than lose what it was not asked to keep: only a real one can show.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench import durability
from tests.image.drive import CardWithACache
from tests.image.machine import BOOT_S, BUILT, ROOT, Card, Machine, booted, said_by, selftest, tool

WORK = """[Unit]
RequiresMountsFor=/var/lib/bluezoned /boot/firmware
[Service]
User=bluezoned
Environment=PYTHONPATH=/usr/lib/bluezoned/python:/boot/firmware
ExecStart=/usr/bin/python3 -B -m tests.image.work
StandardOutput=tty
TTYPath=/dev/console
"""
UP = """[Unit]
After=multi-user.target bluezoned.service
[Service]
ExecStart=/bin/sh -c 'echo SELFTEST state $(systemctl is-system-running --wait)'
StandardOutput=tty
TTYPath=/dev/console
"""
CARRIED = ("tests/image/work.py", "tests/bench/durability.py")
"""Onto the boot partition."""
ROOT_PART, DATA_PART = 2, 3
PULL_AT_WORK_S = 30
FIRST_BOOT_S = 100
"""Until one has been seen: that of an idle machine."""


@dataclass(slots=True)
class Outcome:
    """What so many pulls came to."""

    pulls: int = 0
    during_boot: int = 0
    """Before the card was up."""
    committed: int = 0
    """Flushes that were told, all in all."""
    lost_mb: float = 0
    """Of what was written and not flushed."""
    written_mb: float = 0
    boot_s: float = FIRST_BOOT_S
    """Of the last that was seen to its end."""
    proofs: int = 0
    """Boots to the end."""
    problems: list[str] = field(default_factory=list)


def part(card: Card, number: int) -> Path:
    """A copy of a partition."""
    start, size = card.partition(number)
    copy = card.place / f"part{number}"
    copy.unlink(missing_ok=True)
    tool("dd", f"if={card.image}", f"of={copy}", "bs=1M", f"skip={start >> 20}", f"count={size >> 20}", "conv=sparse")
    return copy


def committed(machine: Machine) -> int:
    """The newest flush that was told, 0 for none."""
    told = [line.split() for _, line in machine.lines if line.startswith("COMMITTED ")]
    return max((int(words[1]) for words in told if len(words) == 2 and words[1].isdecimal()), default=0)


def wait_until_up(machine: Machine, outcome: Outcome) -> None:
    for _ in range(BOOT_S):
        if "state" in (said := said_by(machine)):
            outcome.boot_s = float(said["at"][0].split()[1])
            if said["state"] != ["running"]:
                outcome.problems.append(f"came up {said['state']}")
            return
        machine.wait(1)
    outcome.problems.append("did not come up")


def pull(card: Card, chance: random.Random, outcome: Outcome) -> int:
    """Boot, and pull the plug at some time. The newest flush that was told of."""
    moment = chance.uniform(0, 1.5)
    socket = card.place / "drive"
    with CardWithACache(card.image, socket) as drive:
        units = {"work.service": WORK, "up.service": UP}
        with booted("virt", card, units, f"nbd:unix:{socket}") as machine:
            if moment >= 1:
                wait_until_up(machine, outcome)
            if machine.wait(moment * outcome.boot_s if moment < 1 else (moment - 1) * 2 * PULL_AT_WORK_S):
                outcome.problems.append("the card ended by itself")
            drive.cut()
            machine.kill()
            outcome.during_boot += "state" not in said_by(machine)
            told = committed(machine)
        outcome.written_mb += drive.written / 1e6
        outcome.lost_mb += drive.lose(chance) / 1e6
    return told


def whole(card: Card, acknowledged: int) -> list[str]:
    """What is wrong with the card as it lies there."""
    problems = []
    for number, name in ((ROOT_PART, "root"), (DATA_PART, "data")):
        copy = part(card, number)
        for words in (("-fp",), ("-fn",)):
            try:
                tool("sh", "-c", f"e2fsck {words[0]} {copy} || [ $? -eq 1 ]")
            except AssertionError as error:
                problems.append(f"{name}: {error}")
    # Its journal has been replayed by now.
    state = card.place / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    tool("debugfs", "-R", f"rdump /state {state}", card.place / f"part{DATA_PART}")
    own = state / "state" / "bluezoned.db"
    if own.exists():
        (answer,) = sqlite3.connect(own).execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            problems.append(f"bluezoned.db: {answer}")
    database = state / "state" / "plug" / "s.db"
    if database.exists():
        if problem := durability.verify(database, acknowledged):
            problems.append(problem)
    elif acknowledged:
        problems.append("the database of encounters is gone")
    return problems


def comes_up(card: Card) -> list[str]:
    """Boot to the end, from the card itself."""
    said = selftest("virt", card)
    right = said.get("state") == ["running"] and said.get("database") == ["ok"] and "done" in said
    return [] if right else [f"state {said.get('state')}, failed {said.get('failed')}, database {said.get('database')}"]


def run(card: Card, pulls: int, proof: int, chance: random.Random) -> Outcome:
    outcome, acknowledged = Outcome(), 0
    begun = time.monotonic()
    for number in range(1, pulls + 1):
        acknowledged = max(acknowledged, pull(card, chance, outcome))
        outcome.pulls, outcome.committed = number, acknowledged
        found = whole(card, acknowledged)
        if number % proof == 0 or number == pulls:
            outcome.proofs += 1
            found += comes_up(card)
        outcome.problems += [f"pull {number}: {problem}" for problem in found]
        state = f"{acknowledged} flushes told, {outcome.lost_mb:.1f} MB lost, {len(outcome.problems)} problems"
        print(f"pull {number}, {outcome.during_boot} in boot: {state} ({time.monotonic() - begun:.0f} s)", flush=True)
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pulls", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--proof", type=int, default=10, help="come up after every so many")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    place = Path(tempfile.mkdtemp(prefix="plug-", dir=BUILT))
    try:
        card = Card(place, "2560M")
        for name in CARRIED:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
        card.put(place / "tests", "tests")
        outcome = run(card, given.pulls, given.proof, random.Random(given.seed))
        print(json.dumps(asdict(outcome), indent=1))
        return 1 if outcome.problems else 0
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(place / "console.log", BUILT / "plug-console.log")
        shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main())
