"""config: the settings in force, asked of the files and not of the daemon."""

from __future__ import annotations

import json

import click

from bluezoned.cli.context import Context, json_option
from bluezoned.config import SECTIONS, options


@click.group("config")
def config_group() -> None:
    """The settings in force."""


@config_group.command()
@json_option
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.pass_obj
def show(context: Context, origin: bool) -> None:
    """Every option with its value.

    As JSON: an object of `section.option` to its `value` and its `origin` (a file and line, a variable, `command line`
    or `default`).
    """
    told = {
        f"{section}.{option}": {
            "value": getattr(getattr(context.config, section), option),
            "origin": context.config.origins.get(f"{section}.{option}", "default"),
        }
        for section in SECTIONS
        for option in options(section)
    }
    if context.as_json:
        click.echo(json.dumps(told))
        return
    for name, said in told.items():
        click.echo(f"{name} = {said['value']!r}" + (f"    # {said['origin']}" if origin else ""))


COMMANDS = (config_group,)
