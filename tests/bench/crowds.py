"""Simulated crowds: what no openly licensed recording has, many people who hear one another while they move.

The physics is plain: a path loss as the open recordings have it, bodies and walls that stay, fading that changes by the
minute and by the packet, and devices that are louder or more deaf than they believe. Seeded, so that the same crowd
comes every time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tests.bench.recordings import NEAR, Window

LEVEL_1M = -60.0
"""dBm. Arbitrary: what counts are differences."""

SLOPE, BREAK, FAR_SLOPE = 12.0, 4.0, 20.0
"""dB a decade of distance up to BREAK metres and beyond. Rooms carry better than free space: five open sets, fitted one
by one from 0.3 m to their end at 3 to 4.6 m, say 11.1, 11.5, 12.4, 12.6 and 12.7."""

OFFSET = 3.5
"""dB s.d. of each device as receiver and, independently, as sender: phones of one scene spread so."""

SCENE = 4.0
"""dB s.d. common to a scene: how all are carried, what the room reflects."""

BODY = 4.0
"""dB s.d. of a directed pair for as long as neither moves: who stands between."""

FADING = 2.0
"""dB s.d. of a minute."""

PACKET = 4.0
"""dB s.d. of a packet in its minute."""

PACKETS = 8
"""Heard a minute: a scan that listens for a third of the time."""

PAUSE = 0.1
"""Share of a receiver's minutes in which its scan hears nobody: it restarts, or the radio is busy."""

SENSITIVITY = -100.0
"""dBm below which nothing is heard."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Who stands how. Lengths in m, times in minutes."""

    name: str
    people: int
    width: float
    depth: float
    apart: float
    """Least distance between two places."""
    stay: float
    """Mean time at one place."""
    minutes: int = 40


SCENES = (
    Scene("train", 16, 3.0, 10.0, 0.8, 25),
    Scene("table", 8, 2.5, 4.0, 0.7, 60),
    Scene("office", 14, 12.0, 10.0, 1.5, 15),
    Scene("party", 16, 7.0, 7.0, 0.6, 6),
    Scene("queue", 14, 1.0, 18.0, 1.0, 8),
    Scene("shop", 18, 15.0, 12.0, 0.6, 2),
)
"""The kinds of scene that the acted recordings of others have, and one more."""

DISTANT = Scene("distant", 10, 12.0, 12.0, 2.6, 20)
"""Nobody is ever within 2 m: every alarm is false."""


def crowds(seeds: range, scenes: tuple[Scene, ...] = SCENES) -> list[Window]:
    """Each scene with each seed."""
    return [window for scene in scenes for seed in seeds for window in crowd(scene, seed)]


def crowd(scene: Scene, seed: int) -> list[Window]:
    """Every directed pair's minutes, one pair after the other."""
    random = Random(f"{scene.name} {seed}")
    paths = _paths(scene, random)
    scene_offset = random.gauss(0, SCENE)
    deaf = [random.gauss(0, OFFSET) for _ in paths]
    loud = [random.gauss(0, OFFSET) for _ in paths]
    pauses = [{minute for minute in range(scene.minutes) if random.random() < PAUSE} for _ in paths]
    group = f"{scene.name} {seed}"
    windows = []
    for rx, tx in ((a, b) for a in range(scene.people) for b in range(scene.people) if a != b):
        offset = scene_offset + deaf[rx] + loud[tx]
        for number, (distances, sent) in enumerate(_pair(paths[rx], paths[tx], offset, random)):
            levels = [] if number in pauses[rx] else sent
            near = 60 * statistics.fmean(distance <= NEAR for distance in distances)
            windows.append(
                Window(
                    scene.name,
                    f"{group} {tx}-{rx}",
                    group,
                    f"{group} {rx}",
                    f"{group} {tx}",
                    number,
                    tuple(float(round(level)) for level in levels),
                    tuple(60 * place / PACKETS for place in range(len(levels))),
                    LEVEL_1M,
                    statistics.median(distances),
                    near,
                    True,
                )
            )
    return windows


Place = tuple[float, float]


def _paths(scene: Scene, random: Random) -> list[list[Place]]:
    """Where each person is, by minute. A place is kept for a while, then another free one is taken."""
    at: list[Place] = []
    for _ in range(scene.people):
        at.append(_free(scene, at, random))
    paths: list[list[Place]] = [[] for _ in at]
    for _ in range(scene.minutes):
        for person in range(scene.people):
            if random.random() < 1 / scene.stay:
                at[person] = _free(scene, [*at[:person], *at[person + 1 :]], random)
            paths[person].append(at[person])
    return paths


def _free(scene: Scene, taken: list[Place], random: Random) -> Place:
    """A place far enough from all; where it is too full, the best of two hundred tries."""
    tries = ((random.uniform(0, scene.width), random.uniform(0, scene.depth)) for _ in range(200))
    best, room = (0.0, 0.0), -1.0
    for place in tries:
        nearest = min((math.dist(place, other) for other in taken), default=math.inf)
        if nearest >= scene.apart:
            return place
        if nearest > room:
            best, room = place, nearest
    return best


def _pair(rx: list[Place], tx: list[Place], offset: float, random: Random) -> Iterator[tuple[list[float], list[float]]]:
    """(m, dBm) of each minute's packets."""
    body = 0.0
    before: tuple[Place, Place] | None = None
    for here, there in zip(rx, tx, strict=True):
        if (here, there) != before:
            body, before = random.gauss(0, BODY), (here, there)
        # People sway by a hand's breadth or two.
        distances = [max(0.3, math.dist(here, there) + random.gauss(0, 0.2)) for _ in range(PACKETS)]
        fading = random.gauss(0, FADING)
        levels = (LEVEL_1M - loss(d) + offset + body + fading + random.gauss(0, PACKET) for d in distances)
        yield distances, [level for level in levels if level >= SENSITIVITY]


def loss(distance: float) -> float:
    """dB more than at 1 m."""
    return SLOPE * math.log10(min(distance, BREAK)) + FAR_SLOPE * math.log10(max(distance, BREAK) / BREAK)
