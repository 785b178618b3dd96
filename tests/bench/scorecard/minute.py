"""How well a minute is told: near or far, with one threshold for all sets, with one set left out, and what a minute
says besides its level."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tests.bench import measures, proximity, threshold
from tests.bench.judges import ALONE, JUDGES
from tests.bench.recordings import Window
from tests.bench.scorecard.table import Table, number

PI_SETS = ("rpi_dean", "rpi_winner")
"""Two Raspberry Pi 4."""


def minutes(windows: Sequence[Window]) -> Table:
    """Each judge on each set at its one best threshold."""
    rows = []
    for name, judge in JUDGES.items():
        score = judge(windows)
        judged = measures.judge(windows, score, measures.best_threshold(windows, score))
        pis = [judged[s] for s in PI_SETS if s in judged]
        rows.append(
            (
                name,
                *(f"{number(j.auc)} / {number(j.balanced)}" for j in judged.values()),
                _pair(judged.values()),
                f"{_pair(pis)} / {number(measures.mean(pis, lambda j: j.false))}",
            )
        )
    return Table(
        "A minute: within 2 m or not",
        "Area under the ROC curve / balanced accuracy, at the one threshold that serves all sets best; all sets weigh "
        "alike in the mean. For the two Raspberry Pi sets the false positive rate stands third.",
        ("judge", *measures.by_set(windows), "mean", "Pi"),
        tuple(rows),
    )


def _pair(judged: Iterable[measures.Judged]) -> str:
    judged = list(judged)
    return f"{number(measures.mean(judged, lambda j: j.auc))} / {number(measures.mean(judged, lambda j: j.balanced))}"


def left_out(windows: Sequence[Window]) -> Table:
    """Threshold, and for the last row the boundary too, chosen on all sets but the one that is judged."""
    sets = list(measures.by_set(windows))
    rows = []
    for name, judge in JUDGES.items():
        score = judge(windows)
        found = []
        for left in sets:
            best = measures.best_threshold(windows, score, [s for s in sets if s != left])
            found.append(measures.judge(windows, score, best)[left])
        rows.append(_left_out_row(name, found))
    score = JUDGES[ALONE](windows)
    rows.append(_left_out_row(f"{ALONE}, p >= .5 and no threshold", list(measures.judge(windows, score, 0.5).values())))
    refitted = []
    for left in sets:
        boundary, _ = fit([w for w in windows if w.set != left and not w.is_acted])
        with threshold.changed("BOUNDARY", boundary):
            refitted.append(measures.judge(windows, JUDGES[ALONE](windows), 0.5)[left])
    rows.append(_left_out_row(f"{ALONE}, boundary fitted without the set, p >= .5", refitted))
    return Table(
        "One set left out",
        "Balanced accuracy (false positive rate) on each set when the threshold was chosen on the others alone.",
        ("judge", *sets, "mean", "worst"),
        tuple(rows),
    )


def _left_out_row(name: str, judged: Sequence[measures.Judged]) -> tuple[str, ...]:
    accuracy = [j.balanced for j in judged]
    cells = (f"{number(j.balanced)} ({number(j.false, 2)})" for j in judged)
    return (name, *cells, number(statistics.fmean(accuracy)), number(min(accuracy)))


def thinned(window: Window, packets: int) -> Window:
    """The same minute as a scanner that sleeps in between hears it: so many of its packets at most, evenly."""
    step = max(1, len(window.rssi) // packets)
    return replace(window, rssi=window.rssi[::step][:packets], t=window.t[::step][:packets])


def fit(windows: Sequence[Window]) -> tuple[float, float]:
    """(BOUNDARY, SCATTER) by a logistic regression of nearness on a minute's level, in which each set and in it near
    and far weigh alike: Newton's method, all in dB."""
    rows: list[tuple[float, bool, float]] = []
    for places in measures.by_set(windows).values():
        near = sum(windows[i].is_near for i in places)
        for i in places:
            w = windows[i]
            level = proximity.minute(0, w.rssi).power - w.level_1m
            rows.append((level, w.is_near, 0.5 / (near if w.is_near else len(places) - near)))
    slope, offset = 0.1, 0.0
    for _ in range(30):
        gradient = [0.0, 0.0]
        curvature = [1e-9, 0.0, 1e-9]
        for level, is_near, weight in rows:
            p = 1 / (1 + math.exp(-(slope * level + offset)))
            error, steep = weight * (is_near - p), weight * p * (1 - p)
            gradient[0] += error * level
            gradient[1] += error
            curvature[0] += steep * level * level
            curvature[1] += steep * level
            curvature[2] += steep
        determinant = curvature[0] * curvature[2] - curvature[1] ** 2
        slope += (curvature[2] * gradient[0] - curvature[1] * gradient[1]) / determinant
        offset += (curvature[0] * gradient[1] - curvature[1] * gradient[0]) / determinant
    return -offset / slope, 1 / slope


SHAPES: dict[str, Callable[[Sequence[float]], float]] = {
    "number of packets": len,
    "spread": statistics.pstdev,
    "strongest above mean": lambda rssi: max(rssi) - statistics.fmean(rssi),
    "weakest below mean": lambda rssi: min(rssi) - statistics.fmean(rssi),
    "step from packet to packet": lambda rssi: -sum(abs(a - b) for a, b in itertools.pairwise(rssi)) / len(rssi),
}
"""What a minute says that no gain can change."""


def shapes(windows: Sequence[Window]) -> Table:
    """Each on each set."""
    rows = []
    for name, shape in SHAPES.items():
        score = [shape(w.rssi) for w in windows]
        found = [j.auc for j in measures.judge(windows, score, 0.0).values()]
        rows.append((name, *map(number, found), number(statistics.fmean(found))))
    return Table(
        "What a minute says besides its level",
        "Area under the ROC curve of figures that no unknown gain can change. They lie about .5 and on both sides of "
        "it, so that none carries from one set to another: with the gain of a lone pair unknown, what the level loses "
        "nothing makes good.",
        ("figure", *measures.by_set(windows), "mean"),
        tuple(rows),
    )
