"""bluezoned-sync: one visit to the authority. Has the network and no secret; what it brings is judged by the daemon.

A oneshot for a timer: posts the outbox, fetches what is new, tries again with growing pauses, and ends. The timer does
not know the settings, so it comes often, and `--if-due` goes home when it is not time.
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
from bluezoned.feed import client
from bluezoned.feed.client import FeedReport
from bluezoned.feed.spool import Spool

log = logging.getLogger(__name__)

SECOND = 1000

FIRST_PAUSE_S = 15.0
"""Seconds that the second try waits on average, the third twice as long, and so on. Halved, a restarting server meets
everybody twice; doubled, the third try falls into the next timer."""

LONGEST_PAUSE_S = 600.0


def pause(tried: int) -> float:
    """Seconds until the next try: anything up to a bound that doubles, so that a fleet whose authority was away does
    not come back in step, whichever try each box is at."""
    return random.uniform(0, min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**tried))


async def visit(url: str, spool: Spool, tries: int) -> FeedReport:
    """The report of the last try. StoreError when the spool fails, AuthorityError when `url` must not be asked."""
    report: FeedReport | None = None
    tried = 0

    class Unfinished(Exception):
        """A try left something to be done."""

    def again(error: Exception) -> bool | float:
        return pause(tried) if isinstance(error, Unfinished) else False

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


def is_due(spool: Spool, now: int, poll: int) -> bool:
    """Whether an upload waits or the last good visit is `poll` ms past. A visit in the future was stamped by a wrong
    clock."""
    if spool.outbox.names("upload-"):
        return True
    stamp = spool.memory.read("visit") or b""
    return not stamp.isdigit() or not int(stamp) <= now < int(stamp) + poll


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@command_line.config_options
@click.option("--tries", type=click.IntRange(1, 20), default=5, show_default=True, help="Visits before giving up.")
@click.option("--if-due", is_flag=True, help="Only when authority.poll_s has passed or an upload waits.")
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
        spool, clock = Spool(spool_dir), SystemClock()
        if if_due and not is_due(spool, clock.now(), config.authority.poll_s * SECOND):
            return
        report = asyncio.run(visit(config.authority.url, spool, tries))
        if not report.problems:
            spool.memory.write("visit", str(clock.now()).encode())
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
