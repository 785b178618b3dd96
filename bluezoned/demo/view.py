"""The demo on a terminal: live where there is one, plain lines where the output is piped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bluezoned.demo import story
from bluezoned.demo.director import Outcome, Scene

_COLOURS = {"OWN_CASE": "red", "F1": "red", "F2": "yellow", "SOMEONE_NEAR": "cyan", "ALL_WELL": "green"}
_LINES = 8
"""Of the story that stay on the screen."""


def instant(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%a %H:%M}"


class PlainView:
    """A line for each thing said."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, scene: Scene, line: str) -> None:
        if line:
            self._console.print(f"{instant(scene.now)}  {line}", markup=False, soft_wrap=True)


class LiveView:
    """The boxes with their lights, and the last lines of the story."""

    def __init__(self, console: Console, protocol: str, steps: int) -> None:
        self._protocol = protocol
        self._lines: list[str] = []
        self._live = Live(console=console, refresh_per_second=8, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def __call__(self, scene: Scene, line: str) -> None:
        if line:
            self._lines = [*self._lines, f"{instant(scene.now)}  {line}"][-_LINES:]
        self._live.update(Group(self._boxes(scene), Text(), *map(Text, self._lines)))

    def _boxes(self, scene: Scene) -> Table:
        title = f"{instant(scene.now)} UTC, protocol {self._protocol}"
        table = Table("box", "light", "hears", "near now", "min within 2 m", "list of cases", "keys", title=title)
        for name in story.NAMES:
            status = scene.status.get(name)
            if status is None:
                table.add_row(story.WHO[name], "starting", "", "", "", "", "")
                continue
            light = Text(f"● {status.indication}", style=_COLOURS.get(status.indication, "magenta"))
            issued = "none yet" if status.keys_updated_at is None else instant(status.keys_updated_at * 1000)
            level = scene.level.get(name)
            table.add_row(
                story.WHO[name],
                light,
                "-" if level is None else f"{level:.0f} dBm",
                str(status.nearby),
                str(scene.minutes_near.get(name, 0)),
                issued,
                f"in {scene.fetched.get(name, 0)}, out {scene.sent.get(name, 0)}",
            )
        return table


def outcome_table(outcomes: Sequence[Outcome]) -> Table:
    """Expected and observed lights, act by act."""
    table = Table("act", *(story.WHO[name] for name in story.NAMES), "")
    for outcome in outcomes:
        cells = [
            seen if seen == outcome.expected[name] else f"{seen} (expected {outcome.expected[name]})"
            for name, seen in outcome.observed.items()
        ]
        table.add_row(outcome.act, *cells, "right" if outcome.is_right else "WRONG")
    return table
