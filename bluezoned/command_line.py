"""What the commands of a box have in common: where its settings come from.

Layer 4: for the programs alone.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bluezoned import config, config_source
from bluezoned.config import Config
from bluezoned.errors import ConfigError


def config_options(command: Callable[..., object]) -> Callable[..., object]:
    """Adds --config FILE, --set SECTION.OPTION=VALUE and --instance NAME, handed on as `config_path` and `settings`:
    an instance is another file and other places."""

    @functools.wraps(command)
    def with_instance(
        *words: Any, config_path: Path | None, settings: tuple[str, ...], instance: str | None, **options: Any
    ) -> object:
        if instance is not None:
            config_path = config_path or config.DEFAULT_PATH.with_name(f"{instance}.toml")
            settings = (*(f"beacon.{option}={place}" for option, place in _places(instance)), *settings)
        return command(*words, config_path=config_path, settings=settings, **options)

    for option in reversed(_OPTIONS):
        with_instance = option(with_instance)
    return with_instance


def _instance(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """A name that stands in paths and on the bus."""
    if name is not None and not re.fullmatch("[a-z_][a-z0-9_]{0,31}", name):
        raise click.BadParameter(config.allowed("beacon", "instance"))
    return name


def _places(instance: str) -> list[tuple[str, str]]:
    """Option and value of what no two boxes may share."""
    defaults = config.defaults("beacon")
    places = [(option, f"{defaults[option]}/instances/{instance}") for option in ("state_dir", "spool_dir")]
    return [("instance", instance), *places]


_OPTIONS = (
    click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"Settings file; FILE.d/*.toml is read too.  [default: {config.DEFAULT_PATH}]",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="SECTION.OPTION=VALUE",
        help="Override one option, as often as needed.",
    ),
    click.option(
        "--instance",
        metavar="NAME",
        callback=_instance,
        help=f"One of several boxes on this machine: settings in {config.DEFAULT_PATH.parent}/NAME.toml, and a state, "
        "a spool and a bus name of its own.",
    ),
)


def load(config_path: Path | None, settings: tuple[str, ...]) -> Config:
    """The settings in force. ConfigError names every mistake; a file named on the command line must exist."""
    path = config_path or config.DEFAULT_PATH
    if config_path is not None and not path.is_file():
        raise ConfigError(f"{path}: no such file")
    return config_source.load(config_source.installed_files(path), os.environ, _overrides(settings))


def authority_key(settings: Config) -> ec.EllipticCurvePublicKey | None:
    """The pinned key, None where none is set. ConfigError when it cannot be used."""
    pem = config.public_key_pem(settings.authority, os.environ)
    if not pem:
        return None
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise ConfigError("authority.public_key: not a PEM public key") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError("authority.public_key: not an ECDSA P-256 key")
    return key


def _overrides(settings: tuple[str, ...]) -> dict[str, str]:
    overrides = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: write SECTION.OPTION=VALUE")
        overrides[name] = value
    return overrides
