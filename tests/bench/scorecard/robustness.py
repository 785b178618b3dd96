"""What happens to every figure when gains are unknown or a constant is another."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from tests.bench import measures, threshold
from tests.bench.baselines import BASELINES
from tests.bench.judges import ALONE, CROWD, JUDGES, MINUTE, TOLD, Judge
from tests.bench.recordings import Window
from tests.bench.scorecard import crowd
from tests.bench.scorecard.minute import PI_SETS
from tests.bench.scorecard.table import Table, number

GAINS = (0.0, 2.0, 4.0)
"""dB s.d. of an unknown gain of each pair."""

DRAWS = 3
"""Of the unknown gains: one draw of twenty devices says little."""


def with_gains(windows: Sequence[Window], spread: float, draw: int) -> list[Window]:
    """The same with a random gain of each device (dB s.d. of a pair), which its calibration does not know."""

    def gain(device: str) -> float:
        return Random(f"{draw} {device}").gauss(0, spread / math.sqrt(2))

    gains = {device: gain(device) for device in {w.rx for w in windows} | {w.tx for w in windows}}
    return [replace(w, rssi=tuple(level + gains[w.rx] + gains[w.tx] for level in w.rssi)) for w in windows]


def robustness(windows: Sequence[Window], scenes: Sequence[Window], kind: str) -> Table:
    """Every figure as the gain becomes unknown."""
    rows = []
    for name in (*BASELINES, ALONE, CROWD, TOLD):
        for spread in GAINS:
            found = [figures(JUDGES[name], windows, scenes, spread, draw) for draw in range(DRAWS if spread else 1)]
            means = [statistics.fmean(column) for column in zip(*found, strict=True)]
            rows.append((name, f"{spread:g} dB", *map(number, means)))
    return Table(
        f"An unknown gain of each pair: {kind}",
        f"Mean of {DRAWS} draws. Recordings at a fixed distance hold one pair each, so that nothing can tell its gain "
        "from its distance; in a crowd the gains of the own receiver and of the sender can be learnt.",
        ("judge", "unknown gain", *FIGURES),
        tuple(rows),
    )


FIGURES = ("fixed: AUC", "fixed: BA", "Pi: AUC", "Pi: BA", "moving: AUC", "5 min", "15 min")


def figures(
    judge: Judge, windows: Sequence[Window], scenes: Sequence[Window], spread: float = 0.0, draw: int = 0
) -> tuple[float, ...]:
    """As FIGURES has them: recordings at fixed distances, the two Pi among them, scenes in which people move."""
    here, there = (with_gains(w, spread, draw) if spread else w for w in (windows, scenes))
    score = judge(here)
    judged = measures.judge(here, score, measures.best_threshold(here, score))
    pis = [judged[s] for s in PI_SETS if s in judged]
    moving = judge(there)
    auc = measures.mean(measures.judge(there, moving, 0.5).values(), lambda j: j.auc)
    costs = measures.costs(there, moving)
    return (
        measures.mean(judged.values(), lambda j: j.auc),
        measures.mean(judged.values(), lambda j: j.balanced),
        measures.mean(pis, lambda j: j.auc),
        measures.mean(pis, lambda j: j.balanced),
        auc,
        *(c.total for c in costs.values()),
    )


def sensitivity(windows: Sequence[Window], scenes: Sequence[Window]) -> Table:
    """Every constant halved and doubled."""

    def row(name: str, value: str) -> tuple[str, ...]:
        score = JUDGES[ALONE](windows)
        fixed = measures.judge(windows, score, 0.5)
        claims = JUDGES[MINUTE](windows)
        found = [name, value, number(measures.mean(fixed.values(), lambda j: j.balanced))]
        found.append(number(measures.brier(windows, claims)))
        for judge in (CROWD, TOLD):
            moving = JUDGES[judge](scenes)
            costs = measures.costs(scenes, moving)
            found.append(number(measures.mean(measures.judge(scenes, moving, 0.5).values(), lambda j: j.auc)))
            found += [number(c.total) for c in costs.values()]
        held = crowd.uncertainty(scenes).rows
        return (*found, *(r[-1] for r in held))

    rows = [row("as shipped", "")]
    for name, values in threshold.HALVED_AND_DOUBLED.items():
        for value in values:
            with threshold.changed(name, value):
                rows.append(row(name, _brief(value)))
    return Table(
        "Constants halved and doubled",
        "Balanced accuracy at p >= .5 with no threshold chosen and Brier score of one minute, on recordings at fixed "
        "distances; AUC of a minute and cost at 5 and 15 minutes where people move, with the crowd alone and with the "
        "senders' offsets told; how often each range holds the truth. What happens is the reason why it is not that.",
        (
            *("constant", "value", "BA", "Brier"),
            *("crowd: AUC", "5 min", "15 min"),
            *("told: AUC", "5 min", "15 min"),
            *("range", "range, told"),
        ),
        tuple(rows),
    )


def _brief(value: object) -> str:
    return f"{len(value)} minutes wide" if isinstance(value, tuple) else f"{value:g}"


def origins() -> Table:
    """What each constant is, was fitted on and why, as the source has it."""
    return Table(
        "The constants and their reasons",
        "From the docstrings of bluezoned/tracing/proximity.py and loudness.py.",
        ("constant", "value", "reason"),
        tuple((c.name, str(c.value), c.reason) for c in threshold.thresholds()),
    )
