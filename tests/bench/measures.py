"""How good a judgement is: ranks, rates, calibration and the cost of counting minutes."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.recordings import Window

RULES = (5, 15)
"""Minutes within 2 m that make "too close for too long"."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How one set was judged at one threshold."""

    count: int
    auc: float
    """Chance that a near minute scores above a far one: 0.5 is a coin."""
    miss: float
    false: float

    @property
    def balanced(self) -> float:
        """Balanced accuracy: near and far weigh alike however many there are of each."""
        return 1 - (self.miss + self.false) / 2


@dataclass(frozen=True, slots=True)
class Cost:
    """How well pairs were told that were too close for too long."""

    count: int
    positive: int
    miss: float
    false: float

    @property
    def total(self) -> float:
        """P(miss) + P(false alarm): 0 is perfect, 1 a coin."""
        return self.miss + self.false


def auc(truth: Sequence[bool], score: Sequence[float]) -> float:
    """Area under the ROC curve, ties halved; nan when there is but one kind."""
    order = sorted(range(len(score)), key=score.__getitem__)
    ranks = 0.0
    place = 0
    for _, tied in itertools.groupby(order, key=score.__getitem__):
        members = list(tied)
        ranks += (place + (len(members) + 1) / 2) * sum(truth[i] for i in members)
        place += len(members)
    near = sum(truth)
    far = len(truth) - near
    return (ranks - near * (near + 1) / 2) / (near * far) if near and far else math.nan


def rates(truth: Iterable[bool], told: Iterable[bool]) -> tuple[float, float]:
    """P(miss), P(false alarm); nan where there is nothing of the kind."""
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for pair in zip(truth, told, strict=True):
        counts[pair] += 1
    near = counts[True, True] + counts[True, False]
    far = counts[False, True] + counts[False, False]
    return (counts[True, False] / near if near else math.nan, counts[False, True] / far if far else math.nan)


def by_set(windows: Sequence[Window]) -> dict[str, list[int]]:
    """Places of the scored windows of each set."""
    places: dict[str, list[int]] = {}
    for place, window in enumerate(windows):
        if window.is_scored:
            places.setdefault(window.set, []).append(place)
    return places


def judge(windows: Sequence[Window], score: Sequence[float], threshold: float) -> dict[str, Judged]:
    """Each set's figures at one threshold for all."""
    return {name: judge_at(windows, score, threshold, places) for name, places in by_set(windows).items()}


def judge_at(windows: Sequence[Window], score: Sequence[float], threshold: float, places: Sequence[int]) -> Judged:
    truth = [windows[i].is_near for i in places]
    mine = [score[i] for i in places]
    miss, false = rates(truth, [s >= threshold for s in mine])
    return Judged(len(places), auc(truth, mine), miss, false)


def mean(judged: Iterable[Judged], figure: Callable[[Judged], float]) -> float:
    """All sets weigh alike: the largest must not decide."""
    values = [value for j in judged if not math.isnan(value := figure(j))]
    return statistics.fmean(values) if values else math.nan


def best_threshold(windows: Sequence[Window], score: Sequence[float], sets: Iterable[str] | None = None) -> float:
    """The threshold with the best balanced accuracy, mean over the sets."""
    places = by_set(windows)
    chosen = {name: places[name] for name in (places if sets is None else sets)}
    ordered = sorted(score[i] for members in chosen.values() for i in members)
    candidates = sorted({ordered[(len(ordered) - 1) * step // 200] for step in range(2, 199)})

    def worth(threshold: float) -> float:
        return mean(
            (
                Judged(0, 0.0, *rates([windows[i].is_near for i in m], [score[i] >= threshold for i in m]))
                for m in chosen.values()
            ),
            lambda j: j.balanced,
        )

    return max(candidates, key=worth)


def roc(truth: Sequence[bool], score: Sequence[float]) -> list[tuple[float, float]]:
    """(false alarms, hits) from nothing told to everything told."""
    near, far = sum(truth), len(truth) - sum(truth)
    points = [(0.0, 0.0)]
    hits = alarms = 0
    order = sorted(range(len(score)), key=score.__getitem__, reverse=True)
    for _, tied in itertools.groupby(order, key=score.__getitem__):
        for i in tied:
            hits, alarms = hits + truth[i], alarms + (not truth[i])
        points.append((alarms / max(far, 1), hits / max(near, 1)))
    return points


@dataclass(frozen=True, slots=True)
class Bin:
    """Minutes that claimed about the same probability."""

    claimed: float
    true: float
    count: int


def reliability(windows: Sequence[Window], score: Sequence[float], bins: int = 10) -> list[Bin]:
    """Claimed against true, as if near and far were equally many in each set: near and far minutes are weighted so."""
    rows: list[tuple[float, float, bool]] = []
    for places in by_set(windows).values():
        near = sum(windows[i].is_near for i in places)
        for i in places:
            total = near if windows[i].is_near else len(places) - near
            rows.append((score[i], 0.5 / total, windows[i].is_near))
    found = []
    for number in range(bins):
        members = [r for r in rows if min(int(r[0] * bins), bins - 1) == number]
        weight = math.fsum(w for _, w, _ in members)
        if members:
            claimed = math.fsum(s * w for s, w, _ in members) / weight
            found.append(Bin(claimed, math.fsum(w for _, w, near in members if near) / weight, len(members)))
    return found


def brier(windows: Sequence[Window], score: Sequence[float]) -> float:
    """Mean square of claim against truth, mean over sets: 0.25 is "I do not know"."""
    return statistics.fmean(
        statistics.fmean((score[i] - windows[i].is_near) ** 2 for i in places) for places in by_set(windows).values()
    )


def encounters(windows: Sequence[Window], score: Sequence[float], minutes: int) -> list[tuple[float, float]]:
    """(true, counted) minutes near of each pair that was watched for at least so many minutes, people moving."""
    pairs: dict[str, list[float]] = {}
    for window, share in zip(windows, score, strict=True):
        if window.is_acted:
            sums = pairs.setdefault(window.session, [0.0, 0.0, 0.0])
            sums[0] += window.seconds_near / 60
            sums[1] += share
            sums[2] += 1
    return [(true, counted) for true, counted, watched in pairs.values() if watched >= minutes]


def costs(windows: Sequence[Window], score: Sequence[float], factor: float = 1.0) -> dict[int, Cost]:
    """By rule; told when the counted minutes reach `factor` times the rule's."""
    found = {}
    for minutes in RULES:
        pairs = encounters(windows, score, minutes)
        truth = [true >= minutes for true, _ in pairs]
        miss, false = rates(truth, [counted >= factor * minutes for _, counted in pairs])
        found[minutes] = Cost(len(pairs), sum(truth), miss, false)
    return found


def best_factor(windows: Sequence[Window], score: Sequence[float]) -> float:
    """The one factor for all rules that costs least: what a rule tuned to these scenes would use."""
    return min((step / 20 for step in range(4, 27)), key=lambda f: total(costs(windows, score, f)))


def total(found: Mapping[int, Cost]) -> float:
    """Of both rules together."""
    return math.fsum(cost.total for cost in found.values())
