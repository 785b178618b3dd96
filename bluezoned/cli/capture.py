"""record: what the box hears, into a file of its own."""

from __future__ import annotations

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bluezoned.cli.context import Context, json_option
from bluezoned.clock import Clock, SystemClock
from bluezoned.control.proxy import DaemonProxy

LOOK = 1_000
"""ms between two looks at whether it is still recording."""


@click.command()
@json_option
@click.option(
    "--seconds", type=click.IntRange(1, 3600), default=60, show_default=True, help="For how long; Ctrl-C ends it."
)
@click.option("--yes", is_flag=True, help="Who is near has agreed: do not ask.")
@click.pass_obj
def record(context: Context, seconds: int, yes: bool) -> None:
    """Write what the radio hears into a capture, which `bluezoned --replay FILE` plays again.

    It holds no addresses, but the rolling identifiers of everybody near: personal data, which belong to no bug tracker.
    The file is the daemon's, readable by root alone; there is one at a time, and it goes by itself after a day.

    As JSON: `file`, and `seconds` as asked for.
    """
    if not yes:
        click.confirm("A capture holds identifiers of everybody who is near. Have they agreed?", abort=True)
    file = context.ask(lambda daemon: daemon.record(seconds))
    try:
        context.ask(lambda daemon: _wait(daemon, SystemClock(), seconds, context.as_json))
    except KeyboardInterrupt:
        context.ask(lambda daemon: daemon.end_recording())
    context.tell(
        {"file": str(file), "seconds": seconds},
        lambda: (
            f"Written to {file}, which root can read and the daemon deletes after a day.\n"
            f"bluezoned --replay {file} plays it."
        ),
    )


async def _wait(daemon: DaemonProxy, clock: Clock, seconds: int, quietly: bool) -> None:
    begun = clock.now()
    columns = (TextColumn("Recording"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(quiet=quietly)) as progress:
        bar = progress.add_task("", total=seconds)
        while (passed := (clock.now() - begun) / 1000) < seconds and (await daemon.status()).recording:
            progress.update(bar, completed=passed)
            await clock.sleep_until(min(clock.now() + LOOK, begun + seconds * 1000))


COMMANDS = (record,)
