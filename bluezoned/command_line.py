"""What the commands of a box have in common: where its settings come from.

Layer 4: for the programs alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from bluezoned import config, config_source
from bluezoned.config import Config
from bluezoned.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., object])


def config_options(command: Command) -> Command:
    """Adds --config FILE and --set SECTION.OPTION=VALUE, handed on as `config_path` and `settings`."""
    command = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="SECTION.OPTION=VALUE",
        help="Override one option, as often as needed.",
    )(command)
    return click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"Settings file; FILE.d/*.toml is read too.  [default: {config.DEFAULT_PATH}]",
    )(command)


def load(config_path: Path | None, settings: tuple[str, ...]) -> Config:
    """The settings in force. ConfigError names every mistake; a file named on the command line must exist."""
    path = config_path or config.DEFAULT_PATH
    if config_path is not None and not path.is_file():
        raise ConfigError(f"{path}: no such file")
    return config_source.load(config_source.installed_files(path), os.environ, _overrides(settings))


def _overrides(settings: tuple[str, ...]) -> dict[str, str]:
    overrides = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write SECTION.OPTION=VALUE")
        overrides[name] = value
    return overrides
