"""What every command of bluezonectl has at hand: the settings, the daemon, and how to answer or fail."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bluezoned.bus import BusError
from bluezoned.config import Config
from bluezoned.control import proxy
from bluezoned.control.proxy import DaemonNotRunning, DaemonProxy, NotAllowed
from bluezoned.errors import BluezonedError

FAILED, NOT_RUNNING, NOT_ALLOWED, EXPOSED = 1, 3, 4, 6
"""Exit codes beside 0 (done), 2 (usage, click's own) and 78 (settings). EXPOSED only with `status --exit-code`."""

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What every subcommand needs."""

    config: Config
    as_json: bool

    def ask(self, question: Callable[[DaemonProxy], Awaitable[Answer]]) -> Answer:
        """The daemon's answer; ends the program with a sentence and an exit code when there is none."""

        async def asked() -> Answer:
            async with proxy.reached(self.config.control.bus, self.config.beacon.instance) as daemon:
                return await question(daemon)

        try:
            return asyncio.run(asked())
        except DaemonNotRunning as error:
            fail(str(error), NOT_RUNNING)
        except NotAllowed as error:
            fail(str(error), NOT_ALLOWED)
        except (BusError, BluezonedError) as error:
            fail(str(error), FAILED)

    def tell(self, value: object, people: Callable[[], Table | Text | str]) -> None:
        """`value` as JSON where asked, else what people read."""
        if self.as_json:
            click.echo(json.dumps(value, default=str))
        else:
            # rich leaves colours off when piped and honours NO_COLOR by itself.
            Console(highlight=False, soft_wrap=True).print(people(), markup=False)


def fail(sentence: str, status: int) -> NoReturn:
    """Say why on stderr and end the program."""
    click.echo(sentence, err=True)
    sys.exit(status)


def json_option(command: Callable[..., None]) -> Callable[..., None]:
    """--json also after the subcommand, where fingers put it."""

    def remember(context: click.Context, _: click.Parameter, given: bool) -> None:
        if given:
            context.obj = dataclasses.replace(context.obj, as_json=True)

    return click.option("--json", is_flag=True, expose_value=False, callback=remember, help="Answer with JSON.")(
        command
    )


def table(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> Table:
    """Columns of words without lines; no heading where there are no `columns`."""
    drawn = Table(*columns, box=None, show_header=bool(columns), pad_edge=False)
    for row in rows:
        drawn.add_row(*(str(cell) for cell in row))
    return drawn


def instant(at: int | None) -> str | None:
    """ISO 8601 of `at` (ms UTC)."""
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC).isoformat()
