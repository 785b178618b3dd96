"""consent, pause, resume: the carrier's word."""

from __future__ import annotations

import json

import click

from bluezoned.cli.context import Context, json_option


@click.command()
@json_option
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


@click.command()
@click.pass_obj
def pause(context: Context) -> None:
    """Neither send nor hear until `resume`."""
    context.ask(lambda daemon: daemon.pause())
    click.echo("Paused: this box neither sends nor hears. bluezonectl resume ends it.")


@click.command()
@click.pass_obj
def resume(context: Context) -> None:
    """Send and hear again."""
    context.ask(lambda daemon: daemon.resume())
    click.echo("Tracing again.")


COMMANDS = (consent, pause, resume)
