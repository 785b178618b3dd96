"""How well the shipped estimator tells 2 m, beside what others do, on recordings with measured distances.

    make bench-proximity                       the sets in tests/recordings and simulated crowds
    make bench-proximity RECORDINGS=DIRECTORY  and those of a further directory (its form: tests/bench/recordings.py)

Writes build/proximity.txt and build/proximity.html. Sets named in further directories are judged as they are; no
constant is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table as TextTable

from tests.bench import crowds, recordings
from tests.bench.recordings import Window
from tests.bench.scorecard import cost, crowd, minute, page, robustness
from tests.bench.scorecard.table import Table

SEEDS = range(2)
"""Of the simulated crowds: 84 people, about a thousand directed pairs."""

INTRODUCTION = (
    "The estimator that runs in the box, on recordings of real devices at measured distances and on simulated crowds. "
    "Cost is P(miss) + P(false alarm): 0 is perfect, 1 a coin. The recordings' sources and licences stand in "
    "tests/recordings/README.md; the model and its limits in docs/proximity.md."
)


@click.command(help="Write the scorecard of proximity into a directory.")
@click.option("--recordings", "further", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build"), show_default=True)
def main(further: Path | None, out: Path) -> None:
    windows = recordings.shipped()
    if further is not None:
        windows += recordings.tables(further, frozenset(w.set for w in windows))
    tables = list(track(_tables(windows), description="Measuring", total=_count(windows)))
    out.mkdir(parents=True, exist_ok=True)
    (out / "proximity.html").write_text(page.page(tables, windows, INTRODUCTION))
    with (out / "proximity.txt").open("w") as file:
        show(tables, Console(file=file, width=240))
    show(tables[:2], Console())
    click.echo(f"{out / 'proximity.html'} and {out / 'proximity.txt'} written.")


def _count(windows: list[Window]) -> int:
    return 11 + 2 * any(w.is_acted for w in windows)


def _tables(windows: list[Window]) -> Iterator[Table]:
    simulated = crowds.crowds(SEEDS)
    acted = [w for w in windows if w.is_acted]
    still = [w for w in windows if not w.is_acted]
    yield minute.minutes(windows)
    yield minute.left_out(windows)
    yield minute.shapes(still)
    yield crowd.boundaries(crowds.crowds(SEEDS, (*crowds.SCENES, crowds.DISTANT)))
    yield crowd.too_close(
        simulated,
        "Too close for too long: simulated crowds",
        "Cost (miss + false alarms) of the rules of 5 and 15 minutes within 2 m, counted as they are, and with the one "
        "factor on the minutes that would have suited these scenes best.",
    )
    if acted:
        yield crowd.too_close(acted, "Too close for too long: people acting", "As above.")
    yield crowd.false_alarms(crowds.crowds(SEEDS, (crowds.DISTANT,)))
    yield crowd.uncertainty(acted or simulated)
    yield robustness.robustness(still, simulated, "simulated crowds")
    if acted:
        yield robustness.robustness(still, acted, "people acting")
    yield robustness.sensitivity(still, acted or simulated)
    yield cost.cost(simulated)
    yield robustness.origins()


def show(tables: list[Table], console: Console) -> None:
    for table in tables:
        text = TextTable(*table.columns, title=table.title, caption=table.note, title_justify="left", box=None)
        for row in table.rows:
            text.add_row(*row)
        console.print(text)
        console.print()


if __name__ == "__main__":
    main()
