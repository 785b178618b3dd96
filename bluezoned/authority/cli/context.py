"""What every command of bluezone-authority has at hand: its options, the opened authority, the time, an answer."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from bluezoned.authority.house import House, open_house
from bluezoned.clock import SystemClock
from bluezoned.errors import BluezonedError, ConfigError
from bluezoned.radio import desk

Command = Callable[..., None]

FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


def data_option(command: Command) -> Command:
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        envvar="BLUEZONE_AUTHORITY_DATA",
        help="The authority's directory.",
    )(command)


def desk_option(command: Command) -> Command:
    return click.option(
        "--desk", "desk_socket", type=click.Path(path_type=Path), help="Take the time from a simulated desk."
    )(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Answer with JSON.")(command)


@contextmanager
def told() -> Iterator[None]:
    """Our errors as sentences with an exit status."""
    try:
        yield
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
    except BluezonedError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


@contextmanager
def opened(data: Path) -> Iterator[House]:
    with told():
        house = open_house(data, secrets.token_bytes, credentials())
        try:
            yield house
        finally:
            house.close()


def credentials() -> Path | None:
    """Where systemd lays those of a service, if this is one."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None


def now(desk_socket: Path | None) -> int:
    return SystemClock().now() if desk_socket is None else desk.now(desk_socket)


def answer(as_json: bool, facts: dict[str, Any]) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, fact in facts.items():
        told = ", ".join(fact) if isinstance(fact, list) else "-" if fact is None else fact
        click.echo(f"{name.replace('_', ' ')}: {told}")


def instant(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")


def in_groups(code: str) -> str:
    """Of four, as it is read aloud; it is taken with and without spaces."""
    return " ".join(code[i : i + 4] for i in range(0, len(code), 4))


def read_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Of the option --public-key."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise click.BadParameter(f"{path} is no PEM public key of P-256", param_hint="--public-key")
    return key
