"""encounters, exposure: what the box met, by the day."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date

import click

from bluezoned.cli.context import Context, json_option, table
from bluezoned.control.report import EncounterDay, ExposureDay


@click.command()
@json_option
@click.pass_obj
def encounters(context: Context) -> None:
    """Totals of each day that is kept: nothing that tells who.

    As JSON: a list, newest first, of `day` (2026-11-23, UTC), `rolling_ids` (how many were heard), `minutes` (heard)
    and `minutes_near` (within 2 m).
    """
    days = context.ask(lambda daemon: daemon.encounters())
    columns = ("day (UTC)", "identifiers", "minutes heard", "minutes within 2 m")
    context.tell(_plain(days), lambda: table(columns, map(dataclasses.astuple, days)))


@click.command()
@json_option
@click.pass_obj
def exposure(context: Context) -> None:
    """Days near published cases, and what each amounts to.

    As JSON: a list, newest first, of `day` (2026-11-23, UTC), `tier` (what it makes of the carrier, F1 or F2), `level`
    of the risk (low or high), `minutes` that count, and `least` and `most` that they may be: levels say little about
    distance, and two times in three the truth lies between.
    """
    days = context.ask(lambda daemon: daemon.exposures())
    columns = ("day (UTC)", "makes this box", "risk", "minutes that count", "probably between")
    rows = ((d.day, d.tier, d.level, d.minutes, f"{d.least} and {d.most}") for d in days)
    context.tell(_plain(days), lambda: table(columns, rows))


COMMANDS = (encounters, exposure)


def _plain(days: Sequence[EncounterDay | ExposureDay]) -> list[dict[str, object]]:
    return [
        {name: value.isoformat() if isinstance(value, date) else value for name, value in dataclasses.asdict(d).items()}
        for d in days
    ]
