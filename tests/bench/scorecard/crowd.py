"""Where people move: the boundary that a crowd draws, and the rules of 5 and 15 minutes within 2 m."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from bluezoned.tracing import loudness
from bluezoned.tracing import proximity as shipped
from tests.bench import judges, measures, proximity
from tests.bench.crowds import loss
from tests.bench.judges import CROWD, JUDGES, TOLD
from tests.bench.recordings import NEAR, Window
from tests.bench.scorecard.table import Table, number


def boundary_errors(scenes: Sequence[Window]) -> dict[str, tuple[float, float]]:
    """By kind of scene: dB (root mean square) by which the boundary is off without and with the crowd. The truth of a
    receiver is the mean by which all its levels lie above what their distances give."""
    found: dict[str, list[tuple[float, float]]] = {}
    crowds = proximity.meet(judges.entries(scenes))
    above: dict[str, list[float]] = {}
    kinds = {}
    for w in scenes:
        if w.is_scored:
            excess = proximity.minute(0, w.rssi).power - w.level_1m - shipped.BOUNDARY
            above.setdefault(w.rx, []).append(excess + loss(w.distance) - loss(NEAR))
            kinds[w.rx] = w.set
    for rx, excesses in above.items():
        truth = statistics.fmean(excesses)
        told = loudness.crowd_offset(list(crowds[rx].values()))
        found.setdefault(kinds[rx], []).append((truth, truth - told))
    return {
        kind: tuple(math.sqrt(statistics.fmean(e * e for e in errors)) for errors in zip(*pairs, strict=True))  # type: ignore[misc]
        for kind, pairs in found.items()
    }


def boundaries(scenes: Sequence[Window]) -> Table:
    """Where the crowd puts the boundary."""
    found = boundary_errors(scenes)
    rows = [
        (name, *(number(errors[place], 1) for errors in found.values()), number(_together(found, place), 1))
        for place, name in enumerate(("as calibrated", "with the crowd"))
    ]
    return Table(
        "Where the boundary lies in a simulated crowd",
        "dB (root mean square) by which it is off.",
        ("boundary", *found, "together"),
        tuple(rows),
    )


def _together(found: Mapping[str, tuple[float, float]], place: int) -> float:
    return math.sqrt(statistics.fmean(errors[place] ** 2 for errors in found.values()))


def too_close(scenes: Sequence[Window], title: str, note: str) -> Table:
    """The rules of 5 and 15 minutes where people move."""
    rows = []
    for name, judge in JUDGES.items():
        score = judge(scenes)
        auc = measures.mean(measures.judge(scenes, score, 0.5).values(), lambda j: j.auc)
        factor = measures.best_factor(scenes, score)
        tuned, fixed = measures.costs(scenes, score, factor), measures.costs(scenes, score)
        rows.append(
            (
                name,
                number(auc),
                *(f"{number(c.total)} ({number(c.miss, 2)} + {number(c.false, 2)})" for c in fixed.values()),
                f"{factor:.2f}",
                *(number(c.total) for c in tuned.values()),
            )
        )
    return Table(
        title,
        note,
        (
            *("judge", "AUC of a minute"),
            *(f"{rule} min" for rule in measures.RULES),
            "factor",
            *(f"{rule} min, tuned" for rule in measures.RULES),
        ),
        tuple(rows),
    )


def false_alarms(scenes: Sequence[Window]) -> Table:
    """Where nobody was near, every pair that is told is a false alarm."""
    rows = []
    for name, judge in JUDGES.items():
        score = judge(scenes)
        shares = []
        for rule in measures.RULES:
            counted = [c for _, c in measures.encounters(scenes, score, rule)]
            shares.append(number(statistics.fmean(c >= rule for c in counted)))
        rows.append((name, *shares))
    return Table(
        "A crowd that keeps its distance",
        "Share of pairs told as too close although nobody was ever within 2 m (simulated, nearest 2.6 m).",
        ("judge", *(f"{r} min" for r in measures.RULES)),
        tuple(rows),
    )


def uncertainty(scenes: Sequence[Window]) -> Table:
    """How often the range of minutes near holds the truth."""
    rows = []
    for name, told, spread in ((CROWD, False, shipped.SHARED_SPREAD), (TOLD, True, shipped.SHARED_SPREAD_TOLD)):
        entries = judges.entries(scenes)
        crowds = proximity.meet(entries)
        sent = proximity.transmit_offsets(crowds) if told else {}
        truth: dict[tuple[str, str], float] = {}
        for w in scenes:
            truth[w.rx, w.tx] = truth.get((w.rx, w.tx), 0.0) + w.seconds_near / 60
        held = []
        for rx, crowd in crowds.items():
            own = loudness.crowd_offset(list(crowd.values()))
            for tx, peer in crowd.items():
                excess = [e - own - sent.get(tx, 0.0) for e in peer.values()]
                near = shipped.near_time(excess, spread)
                true = truth[rx, tx]
                # A pair that is surely near or far says nothing about the range.
                if 1 <= true <= len(peer) - 1:
                    held.append(near.low - 0.5 <= true <= near.high + 0.5)
        rows.append((name, f"{spread:g} dB", str(len(held)), number(statistics.fmean(held), 2)))
    return Table(
        "The range of minutes near",
        "Share of pairs, neither near nor far all the time, whose true minutes lie in the range that is told; two in "
        "three is what it claims.",
        ("judge", "spread", "pairs", "holds the truth"),
        tuple(rows),
    )
