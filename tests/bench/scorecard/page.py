"""The scorecard as one HTML file that needs nothing besides: tables, and pictures as inline SVG."""

from __future__ import annotations

import html
import io
import statistics
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bluezoned.tracing.proximity import BOUNDARY
from tests.bench import measures, proximity
from tests.bench.judges import JUDGES, MINUTE
from tests.bench.recordings import NEAR, Window
from tests.bench.scorecard.table import Table

SHOWN = ("calibrated mean", "GAEN buckets", MINUTE)
"""Judges in the pictures: more lines would hide one another."""

COLOURS = ("#b8860b", "#7a7a7a", "#00609c")

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bluezoned",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}

_HEAD = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>How well bluezoned tells 2 m</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; font-size: 0.85rem; display: block; overflow-x: auto }
td, th { padding: 0.2rem 0.6rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top }
tr:hover td { background: #f2f6f9 }
svg { max-width: 100%; height: auto }
</style>
<h1>How well bluezoned tells 2 m</h1>
"""


def page(tables: Sequence[Table], windows: Sequence[Window], introduction: str) -> str:
    """`windows` are those of the pictures."""
    with matplotlib.rc_context(_STYLE):
        pictures = _pictures(windows)
    parts = [_HEAD, f"<p>{html.escape(introduction)}</p>"]
    parts += [f"<h2>{title}</h2><p>{html.escape(text)}</p>{svg}" for title, text, svg in pictures]
    parts += [_table(table) for table in tables]
    return "\n".join(parts)


def _pictures(windows: Sequence[Window]) -> tuple[tuple[str, str, str], ...]:
    """Title, what it shows, SVG."""
    return (
        ("Hits against false alarms", "A curve nearer to the corner is better; the diagonal is a coin.", rocs(windows)),
        (
            "Claimed and true probability",
            "Of one minute, near and far weighing alike. On the diagonal a claim holds. The size of a dot tells how "
            "many minutes make it.",
            calibration(windows),
        ),
        (
            "Level over distance",
            "Mean power of a minute above the level of the boundary: median, and the band that holds four of five. "
            "Where the band crosses zero over a wide range of distances, no judge can tell.",
            levels(windows),
        ),
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return (
        f"<h2>{html.escape(table.title)}</h2>\n<p>{html.escape(table.note)}</p>\n<table><tr>{head}</tr>\n{rows}</table>"
    )


def rocs(windows: Sequence[Window]) -> str:
    """A panel a set."""
    scores = {name: JUDGES[name](windows) for name in SHOWN}
    panels = measures.by_set(windows)
    figure, axes = _panels(len(panels), 2.8)
    for axis, (name, places) in zip(axes, panels.items(), strict=False):
        truth = [windows[i].is_near for i in places]
        axis.plot([0, 1], [0, 1], color="#bbb", linestyle=":")
        for colour, (judge, score) in zip(COLOURS, scores.items(), strict=True):
            alarms, hits = zip(*measures.roc(truth, [score[i] for i in places]), strict=True)
            axis.plot(alarms, hits, color=colour, label=judge)
        axis.set(title=name, xlabel="false alarms", ylabel="hits", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes[0].legend(loc="lower right", fontsize=7)
    return _svg(figure)


def calibration(windows: Sequence[Window]) -> str:
    """What one minute claims."""
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axis = figure.add_subplot()
    axis.plot([0, 1], [0, 1], color="#bbb", linestyle=":")
    for colour, name in zip(COLOURS, SHOWN, strict=True):
        bins = measures.reliability(windows, JUDGES[name](windows))
        axis.plot([b.claimed for b in bins], [b.true for b in bins], color=colour, label=name)
        axis.scatter([b.claimed for b in bins], [b.true for b in bins], s=[b.count / 10 for b in bins], color=colour)
    axis.set(xlabel="claimed P(within 2 m)", ylabel="true share", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.legend(loc="upper left", fontsize=8)
    return _svg(figure)


def levels(windows: Sequence[Window]) -> str:
    """A panel a set, with the boundary."""
    panels = measures.by_set(windows)
    figure, axes = _panels(len(panels), 2.6)
    for axis, (name, places) in zip(axes, panels.items(), strict=False):
        bins: dict[int, list[float]] = {}
        for i in places:
            w = windows[i]
            excess = proximity.minute(0, w.rssi).power - w.level_1m - BOUNDARY
            bins.setdefault(int(min(w.distance, 9.9) * 2), []).append(excess)
        middle = {step / 2 + 0.25: values for step, values in sorted(bins.items()) if len(values) >= 5}
        low, high = ([_quantile(v, share) for v in middle.values()] for share in (0.1, 0.9))
        axis.fill_between(list(middle), low, high, color=COLOURS[2], alpha=0.2, linewidth=0)
        axis.plot(list(middle), [statistics.median(v) for v in middle.values()], color=COLOURS[2], marker=".")
        axis.axhline(0, color="#a00", linewidth=1)
        axis.axvline(NEAR, color="#bbb", linestyle=":")
        axis.set(title=name, xlabel="m", ylabel="dB above the boundary", ylim=(-25, 25), xlim=(0, None))
    return _svg(figure)


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]


def _panels(count: int, size: float) -> tuple[Figure, list[Axes]]:
    columns = min(count, 4)
    rows = -(-count // columns)
    figure = Figure(figsize=(size * columns, size * rows), layout="constrained")
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def _svg(figure: Figure) -> str:
    """The picture without XML declaration and document type, as HTML takes it."""
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
