"""bluezoned-sync: one visit to the authority. Has the network and no secret; what it brings is judged by the daemon.

A oneshot for a timer: posts the outbox, fetches what is new, tries again with growing pauses, and ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

import click
import stamina

from bluezoned import __version__, command_line, service
from bluezoned.errors import AuthorityError, BluezonedError, ConfigError, StoreError
from bluezoned.feed import client
from bluezoned.feed.client import FeedReport
from bluezoned.feed.spool import Spool

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 15.0
"""Seconds before the second try, doubled for each further one, and up to as much again by chance, so that a fleet whose
authority was away does not come back in step. Halved, a restarting server meets everybody twice; doubled, the third try
falls into the next timer."""

LONGEST_PAUSE_S = 600.0


async def visit(url: str, spool: Spool, tries: int) -> FeedReport:
    """The report of the last try. StoreError when the spool fails, AuthorityError when `url` must not be asked."""
    report: FeedReport | None = None

    class Unfinished(Exception):
        """A try left something to be done."""

    try:
        async for attempt in stamina.retry_context(
            on=Unfinished,
            attempts=tries,
            timeout=None,
            wait_initial=FIRST_PAUSE_S,
            wait_jitter=FIRST_PAUSE_S,
            wait_max=LONGEST_PAUSE_S,
        ):
            with attempt:
                async with client.open_session() as session:
                    report = await client.fetch_and_post(session, url, spool)
                if report.problems:
                    raise Unfinished
    except Unfinished:
        log.debug("gave up after %d tries", tries)
    assert report is not None
    return report


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@command_line.config_options
@click.option("--tries", type=click.IntRange(1, 20), default=5, show_default=True, help="Visits before giving up.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
@click.version_option(__version__, prog_name="bluezoned-sync")
def main(config_path: Path | None, settings: tuple[str, ...], tries: int, as_json: bool) -> None:
    """Post what waits in the outbox and fetch what is new from the authority, once.

    Exit status: 0 all done, 75 the authority could not be reached or refused something (the timer tries again),
    74 the spool failed, 78 the configuration is wrong.
    """
    try:
        config = command_line.load(config_path, settings)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
    service.to_where_it_is_read("bluezoned-sync", config.log.level, os.environ)
    if not config.authority.url:
        click.echo("no authority is set (authority.url): nothing to do", err=True)
        return
    try:
        report = asyncio.run(visit(config.authority.url, Spool(Path(config.beacon.spool_dir)), tries))
    except StoreError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_IOERR)
    except (AuthorityError, BluezonedError) as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_TEMPFAIL)
    _tell(report, as_json)
    if report.problems:
        sys.exit(os.EX_TEMPFAIL)


def _tell(report: FeedReport, as_json: bool) -> None:
    problems = [str(problem) for problem in report.problems]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "index_changed": report.index_changed,
                    "batches": report.batches,
                    "uploads": report.uploads,
                    "problems": problems,
                }
            )
        )
        return
    click.echo(f"{report.batches} batches fetched, {report.uploads} uploads answered")
    for problem in problems:
        click.echo(problem, err=True)
