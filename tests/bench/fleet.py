"""How a fleet's requests spread over a day, by the code that decides when each box asks.

    python -m tests.bench.fleet [--json] [--devices 10000]

Every box is simulated: the timer that looks every 10 to 15 minutes (systemd/bluezoned-sync.timer), `feed/schedule` with
the plan that it leaves, chaff at random, and the tries of a visit while the authority is away. Three days: on the first
all boxes are switched on within a minute, the third is counted. What a visit costs in bytes is taken from real
documents: the index of a country that publishes each hour, its log, and the batches of a quiet ward.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from rich.console import Console
from rich.table import Table

from bluezoned import key_index, merkle_tree, upload
from bluezoned.config import Authority
from bluezoned.feed import schedule
from bluezoned.feed.schedule import Plan
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.protocols.protocol import DAY
from bluezoned.sync import METERED_POLL_S
from tests.logbook import Logbook

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
DAYS = 3
OUTAGE = (2 * DAY + 12 * HOUR, 2 * DAY + 13 * HOUR)
PUBLISHED_EACH = HOUR
BATCH_BYTES = 5_000
"""A batch of 150 keys, the smallest there is (docs/operations.md)."""
ANSWER_BYTES = 400
"""HTTP's own of one request and its answer: an estimate."""
HANDSHAKE_BYTES = 5_500
"""TLS 1.3 with a chain of two certificates, with TCP's own: an estimate."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    poll_s: int
    outage: bool = False
    metered: bool = False
    """Uploads go by themselves (sync.Round)."""


CASES = (
    Case("as shipped", Authority().poll_s),
    Case("after an hour without the authority", Authority().poll_s, outage=True),
    Case("the shortest poll", 300),
    Case("metered", METERED_POLL_S, metered=True),
)


class Device:
    """One box's sync, from look to look."""

    def __init__(self, number: int, case: Case, chaff: int) -> None:
        self._random = random.Random(number)
        self._case = case
        self._chaff = chaff
        self._plan = Plan()
        self._next_upload = self._draw_upload(0)

    def requests(self) -> list[int]:
        """When each visit of three days asked for the index, the tries of a failed one among them; uploads that go by
        themselves do not."""
        asked, chance, poll = list[int](), self._random.random, self._case.poll_s * SECOND
        now = int(MINUTE * chance()) + 30 * SECOND + self._delay()
        while now < DAYS * DAY:
            upload_waits = self._next_upload <= now and schedule.may_go(self._plan, now)
            is_due = schedule.is_due(self._plan, now, poll)
            if upload_waits and not is_due and self._case.metered:
                self._plan = schedule.after_post(self._plan)
                self._next_upload = self._draw_upload(now)
            elif upload_waits or is_due:
                now, succeeded = self._visit(now, asked)
                if succeeded:
                    self._plan = schedule.after_success(now, poll, chance)
                    if self._next_upload <= now:
                        self._next_upload = self._draw_upload(now)
                else:
                    self._plan = schedule.after_failure(self._plan, now, poll, chance)
            now += 10 * MINUTE + self._delay()
        return asked

    def _visit(self, now: int, asked: list[int]) -> tuple[int, bool]:
        tries = schedule.tries(self._plan, schedule.TRIES)
        for tried in range(1, tries + 1):
            asked.append(now)
            if not (self._case.outage and OUTAGE[0] <= now < OUTAGE[1]):
                return now, True
            if tried < tries:
                now += schedule.pause(tried, self._random.random)
        return now, False

    def _delay(self) -> int:
        """RandomizedDelaySec of the timer."""
        return int(5 * MINUTE * self._random.random())

    def _draw_upload(self, now: int) -> int:
        return now + int(self._random.expovariate(1 / self._chaff))


def measure(case: Case, devices: int) -> dict[str, Any]:
    """Requests on the third day."""
    chaff = Authority().chaff_s * SECOND
    asked = [at for number in range(devices) for at in Device(number, case, chaff).requests() if at >= 2 * DAY]
    served = [at for at in asked if not (case.outage and OUTAGE[0] <= at < OUTAGE[1])]
    up = (DAY - (OUTAGE[1] - OUTAGE[0] if case.outage else 0)) // MINUTE
    minutes = Counter(at // MINUTE for at in served)
    seconds = Counter(at // SECOND for at in served)
    # What comes in an outage is nobody's load, and would make the mean look larger.
    mean = len(served) / up
    after = [minutes[(OUTAGE[1] // MINUTE) + number] for number in range(60)]
    return {
        "case": case.name,
        "devices": devices,
        "visits_a_device": round(len(served) / devices, 2),
        "mean_a_minute": round(mean, 1),
        "peak_a_minute": max(minutes.values()),
        "peak_over_mean": round(max(minutes.values()) / mean, 2),
        "chance_alone": round(_chance_alone(mean, up), 2),
        "second_over_mean": round(max(seconds.values()) / (mean / 60), 1),
        "second_chance_alone": round(_chance_alone(mean / 60, up * 60), 1),
        "hour_after_over_mean": round(sum(after) / 60 / mean, 2) if case.outage else None,
        "kilobytes_a_device": round(_bytes_a_day(len(served) / devices) / 1000),
    }


def _chance_alone(mean: float, spans: int) -> float:
    """Peak over mean that as many requests have whose instants are wholly random: what no spreading can be below. The
    count that one span in `spans` passes (Poisson)."""
    terms = (math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) for count in range(int(mean * 20) + 50))
    below = accumulate(terms)
    return next(count for count, share in enumerate(below) if 1 - share < 1 / spans) / mean


def _bytes_a_day(visits: float) -> float:
    """Of a box with those visits a day: index and log at each, since both are renewed each hour, and all batches."""
    key = ec.generate_private_key(ec.SECP256R1())
    contents = [os.urandom(BATCH_BYTES) for _ in range(14 * DAY // PUBLISHED_EACH)]
    batches = tuple(
        Batch(
            number,
            f"{number}-bluezone.zip",
            BATCH_BYTES,
            os.urandom(32),
            "bluezone",
            number * HOUR,
            (number + 1) * HOUR,
        )
        for number in range(1, len(contents) + 1)
    )
    index = KeyIndex("vn", len(batches), DAY, 15 * DAY, bytes(upload.SEALING_KEY_SIZE), batches)
    documents = len(key_index.write(index, key)) + len(Logbook(key, merkle_tree.leaf_hash).signed(contents))
    new = DAY // PUBLISHED_EACH
    looks = visits * (HANDSHAKE_BYTES + documents + 2 * ANSWER_BYTES)
    uploads = DAY / (Authority().chaff_s * SECOND) * (HANDSHAKE_BYTES + upload.SEALED_SIZE + ANSWER_BYTES)
    return looks + new * (BATCH_BYTES + ANSWER_BYTES) + uploads


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("", *(row["case"] for row in rows))
    for name in list(rows[0])[1:]:
        table.add_row(name.replace("_", " "), *("" if row[name] is None else f"{row[name]:,}" for row in rows))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--devices", type=int, default=10_000)
    arguments = parser.parse_args()
    rows = [measure(case, arguments.devices) for case in CASES]
    if arguments.json:
        print(json.dumps(rows))
    else:
        show(rows)


if __name__ == "__main__":
    main()
