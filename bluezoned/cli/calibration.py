"""calibrate: two boxes, one metre, two minutes, and a file of settings that the daemon reads."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bluezoned import board
from bluezoned.cli.context import FAILED, Context
from bluezoned.clock import Clock, SystemClock
from bluezoned.config import DEFAULT_PATH
from bluezoned.control.proxy import DaemonProxy
from bluezoned.tracing import calibration
from bluezoned.tracing.calibration import DURATION, Gains, LevelWindow, Measurement
from bluezoned.tracing.proximity import Ranging

PROFILE = DEFAULT_PATH.with_name(DEFAULT_PATH.name + ".d") / "50-calibration.toml"
"""A drop-in: it overrides the operator's file, and goes when it is deleted."""

LOOK = 1_000
"""ms between two looks at what was gathered. Windows take five seconds; more often nothing is new."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Answer with JSON and no progress; does not ask.")
@click.option("--yes", is_flag=True, help="The boxes are in place: do not ask.")
@click.option(
    "--reference",
    type=click.IntRange(-50, 20),
    metavar="DBM",
    help="The other box is calibrated and sends with this power (its radio.tx_power_dbm). Without it, the other is "
    "taken for one of the same kind in the same kind of case.",
)
@click.option("--note", default="", help="What is special: the case, how it is worn.")
@click.option(
    "--profile",
    type=click.Path(dir_okay=False, path_type=Path),
    default=PROFILE,
    show_default=True,
    help="The file to write.",
)
@click.pass_obj
def calibrate(context: Context, as_json: bool, yes: bool, reference: int | None, note: str, profile: Path) -> None:
    """Measure how loud boxes are at 1 m and write it down, with the help of a second box, in two minutes.

    Lay or hang both boxes 1 m apart as they will be used, nothing and nobody between them, other boxes far away. Run it
    on both at once and each gets its own file.
    """
    as_json = as_json or context.as_json
    _require_writable(profile)
    if not (yes or as_json):
        click.confirm("Is the other box 1 m away and nobody between?", abort=True)
    clock = SystemClock()
    windows = context.ask(lambda daemon: gather(daemon, clock, None if as_json else Console()))
    measurement = calibration.measure(windows)
    if flaws := calibration.flaws(measurement):
        click.echo(json.dumps({"flaws": flaws}) if as_json else "Not calibrated.\n" + "\n".join(flaws), err=not as_json)
        sys.exit(FAILED)
    assert measurement is not None, "nothing heard is a flaw"
    gains = reckon(measurement, reference, board.levels(context.config, board.model()).tx_power)
    write(profile, wording(measurement, gains, note, board.model(), datetime.fromtimestamp(clock.now() / 1000, UTC)))
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(measurement), **dataclasses.asdict(gains), "file": str(profile)}))
        return
    level, spread = measurement.level, measurement.spread
    click.echo(
        f"Heard {measurement.packets} packets at {level:.1f} dBm, spread {spread:.1f} dB: good.\n"
        f"Written to {profile}. In force after: systemctl reload bluezoned"
    )


async def gather(daemon: DaemonProxy, clock: Clock, console: Console | None) -> list[LevelWindow]:
    """Two minutes of windows; a bar on the console meanwhile."""
    await daemon.calibrate()
    begun = clock.now()
    columns = (
        TextColumn("Listening"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[heard]} packets{task.fields[level]}"),
    )
    with Progress(*columns, console=console or Console(quiet=True)) as progress:
        bar = progress.add_task("", total=DURATION, heard=0, level="")
        while True:
            windows = await daemon.calibration()
            passed = clock.now() - begun
            level = f", {windows[-1].mean:.0f} dBm" if windows else ""
            progress.update(bar, completed=passed, heard=sum(w.packets for w in windows), level=level)
            if passed >= DURATION:
                return windows
            await clock.sleep_until(min(clock.now() + LOOK, begun + DURATION))


COMMANDS = (calibrate,)


def reckon(measurement: Measurement, reference: int | None, tx_power: int) -> Gains:
    """See calibration.gains_among_alike and gains_beside."""
    if reference is None:
        return calibration.gains_among_alike(measurement.level)
    return calibration.gains_beside(measurement.level, reference, tx_power)


def wording(measurement: Measurement, gains: Gains, note: str, model: str | None, at: datetime) -> str:
    """The drop-in's text."""
    printable = "".join(letter if letter.isprintable() else " " for letter in note)
    place = ", ".join(filter(None, (f"{at:%Y-%m-%d}", model, " ".join(printable.split()))))
    told = json.dumps(place[:120], ensure_ascii=False)  # a JSON string is a TOML string
    return (
        f"# Written by bluezonectl calibrate. {measurement.packets} packets of a second box at 1 m:\n"
        f"# {measurement.level:.1f} dBm, spread {measurement.spread:.1f} dB. Delete this file to undo it.\n"
        "\n"
        "[radio]\n"
        f"tx_power_dbm = {gains.tx_power}\n"
        "\n"
        "[proximity]\n"
        f"attenuation_1m_db = {Ranging().attenuation_1m}\n"
        f"receive_offset_db = {gains.receive_offset}\n"
        f"assumed_tx_power_dbm = {gains.tx_power}\n"
        f"calibrated = {told}\n"
    )


def _require_writable(profile: Path) -> None:
    """Before two minutes are spent in vain."""
    folder = next(parent for parent in profile.absolute().parents if parent.exists())
    if not os.access(folder, os.W_OK):
        raise click.UsageError(f"{folder} cannot be written: run it with sudo, or choose a file with --profile")


def write(profile: Path, text: str) -> None:
    """Whole or not at all; readable by the daemon, which has another user."""
    profile.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=profile.parent, prefix=".calibration-", delete=False
    ) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).chmod(0o644)
    Path(file.name).replace(profile)
