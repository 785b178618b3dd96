"""acknowledge, consent, pause, resume, erase: the carrier's word."""

from __future__ import annotations

from datetime import datetime

import click

from bluezoned.cli.context import FAILED, Context, fail, json_option
from bluezoned.control.proxy import DaemonProxy

_WHEN = click.DateTime(["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"])


@click.command()
@json_option
@click.pass_obj
def acknowledge(context: Context) -> None:
    """Take note of what the box shows: it stops calling for attention until there is something new.

    The light goes on showing it; a restart does not forget it.

    As JSON: `acknowledged`.
    """
    context.ask(lambda daemon: daemon.acknowledge())
    context.tell({"acknowledged": True}, lambda: "Noted. The box is quiet until something new comes.")


@click.command()
@json_option
@click.argument("code")
@click.option("--from", "start", type=_WHEN, help="Of a place: when the outbreak began, in local time.")
@click.option("--to", "end", type=_WHEN, help="When it ended.")
@click.option("--yes", is_flag=True, help="The carrier has agreed: do not ask.")
@click.pass_obj
def consent(context: Context, code: str, start: datetime | None, end: datetime | None, yes: bool) -> None:
    """Publish this box's own keys of the last 14 days under the authority's one-time CODE.

    Whoever was near this box learns that they met a case, not whom. Of others the authority alone learns how loud this
    box heard keys that were published already, so that their distance is judged better. The code works once. With
    --from and --to, only the keys of these hours leave the box, as for a place that was an outbreak.

    As JSON: `consent`, which is "given".
    """
    if (start is None) is not (end is None):
        raise click.UsageError("--from and --to come together")
    hours = None if start is None or end is None else (round(start.timestamp()), round(end.timestamp()))
    if hours is not None and hours[0] >= hours[1]:
        raise click.UsageError("--from must be before --to")
    what = "of the last 14 days" if hours is None else f"from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
    if not yes:
        click.confirm(f"Warn those who were near this box, by publishing its keys {what}?", abort=True)
    if not context.ask(lambda daemon: _consented(daemon, code, hours, context.as_json)):
        fail(
            "The button was not held in time, or the carrier said no: nothing was sent, the code is still good.", FAILED
        )
    context.tell(
        {"consent": "given"},
        lambda: "Thank you. The keys are sealed and go out at the next visit to the authority.",
    )


async def _consented(daemon: DaemonProxy, code: str, hours: tuple[int, int] | None, is_quiet: bool) -> bool:
    """Whether the carrier agreed, by their hand too where the box asks for it."""
    await daemon.consent(code, hours)
    was_asked = False
    async for report in daemon.watch():
        if report.last_upload != "unconfirmed":
            return not was_asked or report.last_upload == "pending"
        if not was_asked and not is_quiet:
            click.echo("Now hold the button of the box for three seconds: it counts them with tones.")
        was_asked = True
    return False


@click.command()
@json_option
@click.pass_obj
def pause(context: Context) -> None:
    """Neither send nor hear until `resume`.

    As JSON: `paused`.
    """
    context.ask(lambda daemon: daemon.pause())
    context.tell(
        {"paused": True}, lambda: "Paused: this box neither sends nor hears. bluezonectl resume ends it."
    )  # fmt: skip


@click.command()
@json_option
@click.pass_obj
def resume(context: Context) -> None:
    """Send and hear again.

    As JSON: `paused`.
    """
    context.ask(lambda daemon: daemon.resume())
    context.tell({"paused": False}, lambda: "Tracing again.")


@click.command()
@json_option
@click.option(
    "--last",
    "hours",
    type=click.IntRange(1, 14 * 24),
    metavar="HOURS",
    help="Only what was met and sent in the last HOURS.",
)
@click.option("--yes", is_flag=True, help="The owner has agreed: do not ask.")
@click.pass_obj
def erase(context: Context, hours: int | None, yes: bool) -> None:
    """Erase every encounter, own key, match and upload on this box. It cannot be undone.

    Afterwards nobody who was met before can be warned by this box, and it knows of nobody it met. Settings and the
    authority's lists stay.

    With --last, the encounters of those hours go, and the own keys in use then, so that the time is never published.
    Keys are of one UTC day: people met earlier on that day cannot be warned either.

    As JSON: `erased` (all or last) and `hours`.
    """
    what = "all that this box remembers" if hours is None else f"what this box remembers of the last {hours} h"
    if not yes:
        click.confirm(f"Erase {what}, for good?", abort=True)
    context.ask(lambda daemon: daemon.erase() if hours is None else daemon.erase_last(hours))
    context.tell({"erased": "all" if hours is None else "last", "hours": hours}, lambda: f"Erased: {what}.")


COMMANDS = (acknowledge, consent, pause, resume, erase)
