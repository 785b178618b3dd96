"""The judges of the scorecard: the shipped estimator in its three situations, and the baselines, all over one list of
minutes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from tests.bench import baselines, proximity
from tests.bench.baselines import BASELINES
from tests.bench.recordings import Window

Judge = Callable[[Sequence[Window]], list[float]]
"""Score of each minute in order, higher is nearer; 0 where nothing was heard."""

ALONE, CROWD, TOLD = "ours, one pair alone", "ours, with its crowd", "ours, sender's offset told too"
MINUTE = "ours, one minute alone"


def entries(windows: Sequence[Window]) -> list[dict[str, Any]]:
    """As `proximity.batch` takes them."""
    return [
        {
            "session": w.session,
            "rx": w.rx,
            "tx": w.tx,
            "k": w.number,
            "rssi": w.rssi,
            "t": w.t,
            "tx_power": w.level_1m,
        }
        for w in windows
    ]


def each_minute(judge: baselines.Judge) -> Judge:
    return lambda windows: [judge(w.rssi, w.t, w.level_1m) if w.rssi else 0.0 for w in windows]


def each_pair(windows: Sequence[Window]) -> list[float]:
    """Minutes of one session after one another, silent ones where numbers are missing."""
    scores: list[float] = []
    for _, members in itertools.groupby(windows, key=lambda w: w.session):
        pair = list(members)
        minutes: list[tuple[Sequence[float], Sequence[float]]] = [((), ())] * (pair[-1].number + 1)
        for w in pair:
            minutes[w.number] = (w.rssi, w.t)
        told = proximity.session(minutes, pair[0].level_1m)
        scores += [told[w.number] for w in pair]
    return scores


JUDGES: dict[str, Judge] = {
    **{name: each_minute(judge) for name, judge in BASELINES.items()},
    MINUTE: each_minute(proximity.window),
    ALONE: each_pair,
    CROWD: lambda windows: proximity.batch_alone(entries(windows)),
    TOLD: lambda windows: proximity.batch(entries(windows)),
}
