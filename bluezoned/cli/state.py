"""status, watch, fork, selftest: how the box is, and whether it can say so."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from contextlib import suppress
from datetime import UTC, datetime

import click

from bluezoned import fork_evidence
from bluezoned.alert.indicator import Indication
from bluezoned.alert.pattern import GRAMMAR, describe
from bluezoned.cli.context import EXPOSED, FAILED, Context, fail, json_option, table
from bluezoned.cli.inspection import worded
from bluezoned.clock import Clock, SystemClock
from bluezoned.control.proxy import DaemonProxy


@click.command()
@json_option
@click.option("--exit-code", is_flag=True, help="Exit with 6 when there is an alert.")
@click.pass_obj
def status(context: Context, exit_code: bool) -> None:
    """How the box is and what its light shows.

    As JSON: `version`, `protocol` (the one on the air), `alert_level` (F1 or F2), `own_tier` (F0, F1 or F2),
    `indication` (what the light shows) and its `sentence`, `nearby` (a number), `keys_updated_at` (seconds UTC),
    `log_size` and `log_root` (of the authority's transparency log), `last_upload`
    (pending, accepted, refused or revoked), `last_upload_problem`, `hearing`, `advertising`, `paused`,
    `acknowledged`, `recording`, `problems` (sentences). What there is not is null.
    """
    report = context.ask(lambda daemon: daemon.status())
    rows = {
        "light": f"{report.indication}: {report.sentence}",
        "alert": (report.alert_level or "none") + (", acknowledged" if report.acknowledged else ""),
        "own case": report.own_tier or "none",
        "near now": str(report.nearby),
        "list of cases": _age(report.keys_updated_at),
        "hearing": "yes" if report.hearing else "NO",
        "advertising": f"yes ({report.protocol})" if report.advertising else "NO",
        "last upload": " ".join(filter(None, (report.last_upload or "none", report.last_upload_problem))),
        "problems": "; ".join(report.problems) or "none",
    }
    context.tell(dataclasses.asdict(report), lambda: table((), rows.items()))
    if exit_code and report.alert_level is not None:
        sys.exit(EXPOSED)


@click.command()
@json_option
@click.pass_obj
def watch(context: Context) -> None:
    """The status now and after each change, a line each, until interrupted.

    As JSON: the object of `status`, one a line.
    """

    async def follow(daemon: DaemonProxy) -> None:
        async for report in daemon.watch():
            if context.as_json:
                click.echo(json.dumps(dataclasses.asdict(report)))
            else:
                click.echo(f"{report.indication}: {report.sentence}")

    with suppress(KeyboardInterrupt):
        context.ask(follow)


@click.command()
@json_option
@click.pass_obj
def fork(context: Context) -> None:
    """The evidence, when the authority showed this box a log that contradicts what it had signed before.

    As JSON what `inspect-fork` verifies, on any machine: `fork`, the log that was refused, and `seen`, the one that had
    been believed or null, both as the authority signed them for everybody. Nothing in it tells of this box. Kept for
    14 days. Exit status 1 when there is none.
    """
    evidence = context.ask(lambda daemon: daemon.fork())
    if evidence is None:
        fail("every log that was seen continues the one before: there is no fork", FAILED)
    if context.as_json:
        click.echo(evidence.write())
    else:
        context.tell(None, lambda: worded(*fork_evidence.heads(evidence)))


@click.command()
@json_option
@click.pass_obj
def selftest(context: Context) -> None:
    """Play each state of light and sound on the box, and say here which it is.

    As JSON: `each_s`, the seconds for each; `parts`, on what; `indications`, the states in their order. Answers at once
    while the box plays on.
    """
    played = context.ask(lambda daemon: daemon.selftest())
    if context.as_json:
        states = [
            {"name": indication.name, "sentence": indication.sentence, "light": describe(GRAMMAR[indication])}
            for indication in Indication
        ]
        click.echo(json.dumps({**dataclasses.asdict(played), "indications": states}))
        return
    if not played.parts:
        click.echo("This box has neither light nor sound ([alert] in the settings): what it shows is in the log alone.")
        return
    click.echo(f"On {', '.join(played.parts)}:")
    asyncio.run(_name_each(SystemClock(), played.each_s))


async def _name_each(clock: Clock, each_s: float) -> None:
    """In step with what is played."""
    begun = clock.now()
    for number, indication in enumerate(Indication, 1):
        click.echo(f"{indication.name}: {indication.sentence}\n    look for {describe(GRAMMAR[indication])}")
        await clock.sleep_until(begun + round(number * each_s * 1000))


COMMANDS = (status, watch, fork, selftest)


def _age(issued_s: int | None) -> str:
    if issued_s is None:
        return "none yet"
    return f"of {datetime.fromtimestamp(issued_s, UTC):%Y-%m-%d %H:%M} UTC"
