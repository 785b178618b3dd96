"""bluezoned-sync: one visit to the authority. Has the network and no secret; what it brings is judged by the daemon.

A oneshot for a timer: posts the outbox, fetches what is new, tries again with growing pauses, and ends. The timer does
not know the settings, so it comes often, and `--if-due` goes home when it is not time (feed/schedule).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
from pathlib import Path

import click
import stamina

from bluezoned import __version__, command_line, service
from bluezoned.clock import SystemClock
from bluezoned.errors import AuthorityError, BluezonedError, ConfigError, StoreError
from bluezoned.feed import client, schedule
from bluezoned.feed.client import FeedReport
from bluezoned.feed.spool import Spool

log = logging.getLogger(__name__)

SECOND = 1000
CHANCE = random.SystemRandom().random


async def visit(url: str, spool: Spool, tries: int) -> FeedReport:
    """The report of the last try. StoreError when the spool fails, AuthorityError when `url` must not be asked."""
    report: FeedReport | None = None
    tried = 0

    class Unfinished(Exception):
        """A try left something to be done."""

    def again(error: Exception) -> bool | float:
        return schedule.pause(tried, CHANCE) / SECOND if isinstance(error, Unfinished) else False

    try:
        async for attempt in stamina.retry_context(on=again, attempts=tries, timeout=None):
            with attempt:
                tried = attempt.num
                async with client.open_session() as session:
                    report = await client.fetch_and_post(session, url, spool)
                if report.problems:
                    raise Unfinished
    except Unfinished:
        log.debug("gave up after %d tries", tries)
    assert report is not None
    return report


def tries_due(spool: Spool, now: int, poll: int, most: int) -> int:
    """How often to try now, by what the last visit left; 0 when it is not time."""
    plan = schedule.decode(spool.memory.read("visit"))
    upload_waits = bool(spool.outbox.names("upload-"))
    return schedule.tries(plan, most) if schedule.is_due(plan, now, poll, upload_waits) else 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@command_line.config_options
@click.option(
    "--tries", type=click.IntRange(1, 20), default=schedule.TRIES, show_default=True, help="Visits before giving up."
)
@click.option("--if-due", is_flag=True, help="Only when it is time (authority.poll_s) or an upload waits.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
@click.version_option(__version__, prog_name="bluezoned-sync")
def main(config_path: Path | None, settings: tuple[str, ...], tries: int, if_due: bool, as_json: bool) -> None:
    """Post what waits in the outbox and fetch what is new from the authority, once.

    Exit status: 0 all done, 75 the authority could not be reached or refused something (the timer tries again),
    74 the spool failed, 77 run as root on another's spool, 78 the configuration is wrong.
    """
    try:
        config = command_line.load(config_path, settings)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
    service.to_where_it_is_read("bluezoned-sync", config.log.level, os.environ)
    if not config.authority.url:
        if if_due:
            return
        click.echo("no authority is set (authority.url): nothing to do", err=True)
        return
    spool_dir = Path(config.beacon.spool_dir)
    if os.geteuid() == 0 and spool_dir.exists() and spool_dir.stat().st_uid != 0:
        # What root leaves there, the service could not replace.
        click.echo("the spool is another user's: systemctl start bluezoned-sync", err=True)
        sys.exit(os.EX_NOPERM)
    try:
        spool, clock, poll = Spool(spool_dir), SystemClock(), config.authority.poll_s * SECOND
        if if_due:
            tries = tries_due(spool, clock.now(), poll, tries)
        if not tries:
            return
        report = asyncio.run(visit(config.authority.url, spool, tries))
        after = schedule.after_failure if report.problems else schedule.after_success
        spool.memory.write("visit", schedule.encode(after(clock.now(), poll, CHANCE)))
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
