"""`python -m bluezoned.demo`: plays the whole job and says whether it ended as it must."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from bluezoned.demo import story
from bluezoned.demo.director import Audience, Director, Outcome
from bluezoned.demo.view import LiveView, PlainView, outcome_table
from bluezoned.errors import BluezonedError
from bluezoned.protocols import registry


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--protocol", type=click.Choice(registry.NAMES), default="bluezone", show_default=True)
@click.option("--kill", "kills", type=click.IntRange(0, 1000), default=0, help="Pull so many plugs on the way.")
@click.option("--seed", type=int, default=1, show_default=True, help="Which plugs, and when.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Leave every program's files and log in this new directory.",
)
def main(protocol: str, kills: int, seed: int, keep: Path | None) -> None:
    """Four boxes, one authority, recorded radio: contact, case, alert, and the alert taken back.

    Exit status: 0 when every light showed what it must, 1 otherwise.
    """
    console = Console(highlight=False)
    begun = time.monotonic()
    try:
        if keep is not None:
            keep.mkdir(parents=True)
            outcomes = _play(console, protocol, keep, kills, seed)
        else:
            with tempfile.TemporaryDirectory(prefix="bluezoned-demo-") as directory:
                outcomes = _play(console, protocol, Path(directory), kills, seed)
    except (BluezonedError, OSError) as error:
        click.echo(f"the demo failed: {error}", err=True)
        sys.exit(1)
    console.print(outcome_table(outcomes))
    right = all(outcome.is_right for outcome in outcomes)
    console.print(f"{'All as expected' if right else 'NOT as expected'}, in {time.monotonic() - begun:.0f} s.")
    sys.exit(0 if right else 1)


def _play(console: Console, protocol: str, directory: Path, kills: int, seed: int) -> list[Outcome]:
    def director(audience: Audience) -> Director:
        return Director(protocol, directory, audience, kills, seed)

    if console.is_terminal:
        with LiveView(console, protocol, len(story.STEPS)) as view:
            return asyncio.run(director(view).play())
    return asyncio.run(director(PlainView(console)).play())


if __name__ == "__main__":
    main()
