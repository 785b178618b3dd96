"""The program bluezonectl, put together from its groups of commands."""

from __future__ import annotations

import os
from pathlib import Path

import click

from bluezoned import __version__, command_line
from bluezoned.cli import calibration, capture, carrier, encounter, examination, inspection, provision, setting, state
from bluezoned.cli.context import Context, fail
from bluezoned.errors import ConfigError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@command_line.config_options
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")
@click.version_option(__version__, prog_name="bluezonectl")
@click.pass_context
def main(context: click.Context, config_path: Path | None, settings: tuple[str, ...], as_json: bool) -> None:
    """Ask a running bluezoned how it is, what it met, and give consent.

    Exit status: 0 done, 1 failed, 2 wrong usage, 3 bluezoned is not running, 4 not allowed, 6 exposed (only with
    `status --exit-code`), 78 the configuration is wrong.
    """
    try:
        context.obj = Context(command_line.load(config_path, settings), as_json)
    except ConfigError as error:
        fail(str(error), os.EX_CONFIG)


for group in (state, encounter, carrier, calibration, capture, examination, inspection, setting, provision):
    for command in group.COMMANDS:
        main.add_command(command)
