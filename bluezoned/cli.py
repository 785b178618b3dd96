"""bluezonectl: what a person asks of the box, over the bus; and what can be asked of a file without a box.

Formats for people and as `--json`. Knows no store and no radio.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from rich.console import Console
from rich.table import Table

from bluezoned import __version__, command_line, key_export
from bluezoned.bus import BusError
from bluezoned.cli_calibrate import calibrate
from bluezoned.config import Config
from bluezoned.control import proxy
from bluezoned.control.proxy import DaemonNotRunning, DaemonProxy, NotAllowed
from bluezoned.errors import BluezonedError, ConfigError

NOT_RUNNING, NOT_ALLOWED, EXPOSED = 3, 4, 6
"""Exit codes beside 0 (done), 1 (failed) and 2 (usage). EXPOSED only with `status --exit-code`."""

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
            _fail(str(error), NOT_RUNNING)
        except NotAllowed as error:
            _fail(str(error), NOT_ALLOWED)
        except (BusError, BluezonedError) as error:
            _fail(str(error), 1)
        raise AssertionError("unreachable")

    def tell(self, value: object, table: Callable[[], Table]) -> None:
        """`value` as JSON where asked, else the table."""
        if self.as_json:
            click.echo(json.dumps(value, default=str))
        else:
            _console().print(table())


def _console() -> Console:
    # rich leaves colours off when piped and honours NO_COLOR by itself.
    return Console(highlight=False)


def _fail(sentence: str, status: int) -> None:
    click.echo(sentence, err=True)
    sys.exit(status)


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
        _fail(str(error), os.EX_CONFIG)


main.add_command(calibrate)


def _json_option(command: Callable[..., None]) -> Callable[..., None]:
    """--json also after the subcommand, where fingers put it."""

    def remember(context: click.Context, _: click.Parameter, given: bool) -> None:
        if given:
            context.obj = dataclasses.replace(context.obj, as_json=True)

    return click.option("--json", is_flag=True, expose_value=False, callback=remember, help="Answer with JSON.")(
        command
    )


@main.command()
@_json_option
@click.option("--exit-code", is_flag=True, help="Exit with 6 when there is an alert.")
@click.pass_obj
def status(context: Context, exit_code: bool) -> None:
    """How the box is and what its light shows."""
    report = context.ask(lambda daemon: daemon.status())
    rows = {
        "light": f"{report.indication}: {report.sentence}",
        "alert": report.alert_level or "none",
        "own case": report.own_tier or "none",
        "near now": str(report.nearby),
        "list of cases": _age(report.keys_updated_at),
        "hearing": "yes" if report.hearing else "NO",
        "advertising": f"yes ({report.protocol})" if report.advertising else "NO",
        "last upload": " ".join(filter(None, (report.last_upload or "none", report.last_upload_problem))),
        "problems": "; ".join(report.problems) or "none",
    }
    context.tell(dataclasses.asdict(report), lambda: _table((), rows.items()))
    if exit_code and report.alert_level is not None:
        sys.exit(EXPOSED)


@main.command()
@_json_option
@click.pass_obj
def watch(context: Context) -> None:
    """The status now and after each change, a line each, until interrupted."""

    async def follow(daemon: DaemonProxy) -> None:
        async for report in daemon.watch():
            if context.as_json:
                click.echo(json.dumps(dataclasses.asdict(report)))
            else:
                click.echo(f"{report.indication}: {report.sentence}")

    with suppress(KeyboardInterrupt):
        context.ask(follow)


@main.command()
@_json_option
@click.pass_obj
def encounters(context: Context) -> None:
    """Totals of each day that is kept: nothing that tells who."""
    days = context.ask(lambda daemon: daemon.encounters())
    columns = ("day (UTC)", "identifiers", "minutes heard", "minutes within 2 m")
    context.tell(_plain(days), lambda: _table(columns, (dataclasses.astuple(day) for day in days)))


@main.command()
@_json_option
@click.pass_obj
def exposure(context: Context) -> None:
    """Days near published cases, and what each amounts to."""
    days = context.ask(lambda daemon: daemon.exposures())
    columns = ("day (UTC)", "makes this box", "risk", "minutes that count")
    context.tell(_plain(days), lambda: _table(columns, (dataclasses.astuple(day) for day in days)))


@main.command()
@_json_option
@click.argument("code")
@click.option("--yes", is_flag=True, help="The carrier has agreed: do not ask.")
@click.pass_obj
def consent(context: Context, code: str, yes: bool) -> None:
    """Publish this box's own keys of the last 14 days under the authority's one-time CODE.

    Whoever was near this box learns that they met a case, not whom. Nothing about others leaves the box. The code
    works once.
    """
    if not yes:
        click.confirm("Warn those who were near this box, by publishing its keys of the last 14 days?", abort=True)
    context.ask(lambda daemon: daemon.consent(code))
    if context.as_json:
        click.echo(json.dumps({"consent": "given"}))
    else:
        click.echo("Thank you. The keys are sealed and go out at the next visit to the authority.")


@main.command()
@click.pass_obj
def pause(context: Context) -> None:
    """Neither send nor hear until `resume`."""
    context.ask(lambda daemon: daemon.pause())
    click.echo("Paused: this box neither sends nor hears. bluezonectl resume ends it.")


@main.command()
@click.pass_obj
def resume(context: Context) -> None:
    """Send and hear again."""
    context.ask(lambda daemon: daemon.resume())
    click.echo("Tracing again.")


@main.command("inspect-export")
@_json_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--public-key",
    "public_key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the authority's key; without it the signature is not checked.",
)
@click.pass_obj
def inspect_export(context: Context, file: Path, public_key: Path | None) -> None:
    """What a key export FILE holds and whether its signature is good. Shows counts, never keys.

    Exit status 1 unless the signature was checked and is valid, or no key was given.
    """
    key = None if public_key is None else _read_public_key(public_key)
    inspection = key_export.inspect(file.read_bytes(), key)
    facts: dict[str, Any] = {**dataclasses.asdict(inspection)}
    facts["signature"] = str(getattr(inspection.signature, "value", inspection.signature))
    facts["start"], facts["end"] = _instant(inspection.start), _instant(inspection.end)
    context.tell(facts, lambda: _table((), ((name, "-" if fact is None else fact) for name, fact in facts.items())))
    if key is not None and facts["signature"] != "valid":
        sys.exit(1)


@main.group("config")
def config_group() -> None:
    """The settings in force."""


@config_group.command()
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.pass_obj
def show(context: Context, origin: bool) -> None:
    """Every option with its value."""
    from bluezoned.config import SECTIONS, options

    for section in SECTIONS:
        for option in options(section):
            value = getattr(getattr(context.config, section), option)
            place = context.config.origins.get(f"{section}.{option}", "default")
            click.echo(f"{section}.{option} = {value!r}" + (f"    # {place}" if origin else ""))


def _read_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise click.BadParameter(f"{path} is no PEM public key", param_hint="--public-key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise click.BadParameter(f"{path} is not an elliptic curve key", param_hint="--public-key")
    return key


def _plain(days: Sequence[Any]) -> list[dict[str, object]]:
    return [
        {name: value.isoformat() if isinstance(value, date) else value for name, value in dataclasses.asdict(d).items()}
        for d in days
    ]


def _table(columns: Sequence[str], rows: Any) -> Table:
    table = Table(*columns, box=None, show_header=bool(columns), pad_edge=False)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table


def _instant(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC).isoformat()


def _age(issued_s: int | None) -> str:
    if issued_s is None:
        return "none yet"
    return f"of {datetime.fromtimestamp(issued_s, UTC):%Y-%m-%d %H:%M} UTC"
